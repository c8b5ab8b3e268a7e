"""`Optimizer`: parameters in groups, their state, and the step that an update rule takes with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from tinytorch.autograd import enable_grad
from tinytorch.layers import Module
from tinytorch.tensor import Array, Tensor, note_write

from . import state
from .blocks import Rows, State

Group: TypeAlias = dict[str, Any]
Gathered: TypeAlias = tuple[list[Array | None], list[Array]]
"""The arrays of one group's parameters, None where there is no gradient, and the arrays of their gradients."""
Parameters: TypeAlias = Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class Optimizer:
    """Base of all optimizers: a subclass gives `states` and `update`, arithmetic on one-dimensional arrays.

    Every subclass has the option `lr`; where it has `weight_decay` too, that is applied for it.

    `params` are a module (errors then know its parameters by name), tensors, `(name, tensor)` pairs, or groups: dicts
    with `"params"` and options that differ from the others. With `check_finite` a step that meets a NaN or an infinity
    in a gradient raises FloatingPointError, which names the parameter, and changes nothing.

    Raises ValueError for no parameters, one given twice, an unknown option or one out of range; TypeError for what is
    no floating-point tensor.
    """

    whole: ClassVar[bool] = False  # whether `update` needs each parameter in its own shape
    decoupled: ClassVar[bool] = False  # whether weight decay shrinks the parameters, p ← (1 - lr · weight_decay) p - …,
    # or is added to the gradient, g + weight_decay · p

    def __init__(self, params: Parameters, defaults: Group, check_finite: bool = False) -> None:
        self.defaults = defaults
        self.check_finite = check_finite
        self.param_groups: list[Group] = []
        self.rows: list[Rows] = []
        self.names: list[list[str]] = []
        listed: list[Any] = list(params.named_parameters() if isinstance(params, Module) else params)
        if not listed:
            raise ValueError(f"{self.kind}: no parameters; give model.parameters() of a model that has some")
        for group in listed if isinstance(listed[0], dict) else [{"params": listed}]:
            self.add_param_group(group)

    @property
    def kind(self) -> str:
        return type(self).__name__

    def states(self, group: Group) -> tuple[str, ...]:
        """The names of what is remembered for every number of a parameter; each starts at zero."""
        raise NotImplementedError(f"{self.kind} has no states(group); define it in the class")

    def update(self, change: Array, g: Array, state: State, spare: Array, step: int, group: Group) -> None:
        """Write into `change` what is to be taken off the parameters, given their gradient `g`, which is left alone.

        The arrays of `state` are changed in place. All arrays have one shape; `spare` is one more for intermediate
        results. `step` counts from 1. Weight decay is not its business.
        """
        raise NotImplementedError(f"{self.kind} has no update; define it in the class")

    def validate(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""
        at_least_zero(self.kind, group, "lr", *({"weight_decay"} & group.keys()))

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimize more parameters, `group["params"]`; options left out are the optimizer's own."""
        unknown = group.keys() - self.defaults.keys() - {"params", "name", "initial_lr"}
        if unknown or "params" not in group:
            name = min(unknown, default="params")
            near = difflib.get_close_matches(name, self.defaults, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(self.defaults)}"
            problem = f"a group has no option {name!r}{hint}" if unknown else "a group needs 'params'"
            raise ValueError(f"{self.kind}: {problem}")
        names, params = _named(self.kind, group["params"], sum(map(len, self.names)))
        known = [p for other in self.param_groups for p in other["params"]]
        for place, (name, p) in enumerate(zip(names, params, strict=True)):
            if any(p is other for other in (*known, *params[:place])):
                raise ValueError(f"{self.kind}: {name} is given twice; each parameter belongs to one group, once")
        full = {**self.defaults, **group, "params": params}
        self.validate(full)
        self._check_params(names, params)
        self.param_groups.append(full)
        self.rows.append(Rows(params, self.states(full), self.whole))
        self.names.append(names)

    def _check_params(self, names: list[str], params: list[Tensor]) -> None:
        """Refuse parameters that this optimizer cannot update."""

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; with `closure`, compute the loss first and return it.

        Raises ValueError for a gradient or parameter whose shape or dtype is not what it was, and FloatingPointError
        with `check_finite`; nothing is updated then.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self.apply(self.gather())
        return loss

    def gather(self) -> list[Gathered]:
        """The first half of a step: the gradients of every group, checked. Raises what `step` raises."""
        return [self._gradients(place) for place in range(len(self.param_groups))]

    def apply(self, found: list[Gathered]) -> None:
        """The second half: update every parameter for which `gather` found a gradient."""
        for group, rows, (arrays, gradients) in zip(self.param_groups, self.rows, found, strict=True):
            rows.allot(self.states(group))
            decay, keep = group.get("weight_decay", 0.0), 1.0
            if self.decoupled:
                decay, keep = 0.0, 1 - group["lr"] * decay
            for block in rows.blocks(arrays):
                g = block.gradient(gradients, decay)
                self.update(block.change, g, block.state, block.spare, rows.steps[block.members[0]] + 1, group)
                block.apply(keep)
            rows.advance(arrays)
            note_write(*[array for array in arrays if array is not None])

    def _gradients(self, place: int) -> Gathered:
        rows = self.rows[place]
        arrays: list[Array | None] = []
        gradients: list[Array] = []
        for member, p in enumerate(rows.params):
            if p.grad is None:
                arrays.append(None)
                gradients.append(_NOTHING)
                continue
            data, g = p.data, p.grad.data
            if data.dtype != rows.dtypes[member] or g.dtype != data.dtype or g.shape != data.shape:
                raise self._misfit(place, member)
            if not data.flags.writeable:
                raise ValueError(f"{self.kind}: {self.names[place][member]} is read-only; give it a copy of its array")
            if self.check_finite and not np.isfinite(g).all():
                raise FloatingPointError(
                    f"{self.kind}: the gradient of {self.names[place][member]} has "
                    f"{np.count_nonzero(~np.isfinite(g))} of {g.size} numbers NaN or infinite; no parameter was changed"
                )
            arrays.append(data)
            gradients.append(g if g.flags.c_contiguous else np.ascontiguousarray(g))
        return arrays, gradients

    def _misfit(self, place: int, member: int) -> ValueError:
        rows, name = self.rows[place], self.names[place][member]
        p = rows.params[member]
        if p.dtype != rows.dtypes[member]:
            return ValueError(
                f"{self.kind}: {name} was {rows.dtypes[member]} and is {p.dtype}; "
                "make the optimizer after converting the model"
            )
        assert p.grad is not None
        return ValueError(
            f"{self.kind}: {name} is {p.shape} {p.dtype}, its gradient {p.grad.shape} {p.grad.dtype}; they must agree"
        )

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything a step depends on besides the parameters: `{"arrays": …, "meta": …}`.

        `arrays` maps flat names (`"0.m"`: the state `m` of parameter 0) to arrays; `meta` holds what JSON can hold.
        """
        return state.collect(self)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue, bit for bit, where `state_dict` was taken, on an optimizer with the same groups of parameters.

        Raises ValueError, and changes nothing, for the state of another optimizer or of other parameters.
        """
        state.restore(self, saved)

    def __repr__(self) -> str:
        counts = [sum(p.size for p in group["params"]) for group in self.param_groups]
        options = ", ".join(f"{name}={value}" for name, value in self.param_groups[0].items() if name in self.defaults)
        return f"{self.kind}({options}) of {' + '.join(f'{count:,}' for count in counts)} parameters"


_NOTHING: Array = np.empty(0)


def at_least_zero(kind: str, group: Group, *names: str) -> None:
    """Raise ValueError unless the options are numbers of at least 0."""
    for name in names:
        if not group[name] >= 0:
            raise ValueError(f"{kind}: {name}={group[name]}; it must be at least 0")


def below_one(kind: str, name: str, *values: float) -> None:
    """Raise ValueError unless each value is at least 0 and below 1: how much of an average is kept."""
    for value in values:
        if not 0 <= value < 1:
            raise ValueError(f"{kind}: {name}={value}; it must be at least 0 and below 1")


def _named(kind: str, params: Any, first: int) -> tuple[list[str], list[Tensor]]:
    """Names and tensors out of tensors or `(name, tensor)` pairs."""
    if isinstance(params, Module):
        params = params.named_parameters()
    elif isinstance(params, Tensor):
        params = [params]
    names: list[str] = []
    tensors: list[Tensor] = []
    for place, entry in enumerate(params):
        name, p = entry if isinstance(entry, tuple) and len(entry) == 2 else ("", entry)
        if not isinstance(p, Tensor) or p.dtype.kind != "f":
            what = f"a tensor of dtype {p.dtype}" if isinstance(p, Tensor) else f"a {type(p).__name__}"
            raise TypeError(f"{kind}: parameter {first + place} is {what}; parameters are floating-point tensors")
        if p.node is not None:
            raise ValueError(f"{kind}: parameter {first + place} was computed; optimize what it was computed from")
        names.append(name or f"parameter {first + place} {p.shape}")
        tensors.append(p)
    return names, tensors
