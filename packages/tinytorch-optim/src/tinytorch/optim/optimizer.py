"""`Optimizer`: parameters in groups, their state, and the step that an update rule takes with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from tinytorch.autograd import enable_grad
from tinytorch.layers import Module
from tinytorch.tensor import Array, ShapeError, Tensor, kernels, note_write, substitute

from . import state
from .buckets import Group, Memory, State
from .observing import observe
from .options import check_options

Gathered: TypeAlias = tuple[list[Array | None], list[Array]]
"""The arrays of one group's parameters, None where there is no gradient, and the arrays of their gradients."""
_NOTHING: Array = np.empty(0)
Parameters: TypeAlias = Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class Optimizer:
    """Base of all optimizers: a subclass gives `states` and `update`, arithmetic on one-dimensional arrays.

    Every subclass has the option `lr`; where it has `weight_decay` too, that is applied for it.

    `params` are a module (errors then know its parameters by name), tensors, `(name, tensor)` pairs, or groups: dicts
    with `"params"` and options that differ from the others. With `check_finite` a step that meets a NaN or an infinity
    in a gradient raises FloatingPointError, which names the parameter, and changes nothing.

    Raises ValueError for no parameters, one given twice, an unknown option or one out of range; TypeError for anything
    but floating-point tensors.
    """

    whole: ClassVar[bool] = False  # whether `update` needs each parameter in its own shape
    decoupled: ClassVar[bool] = False  # whether weight decay shrinks the parameters, or is added to the gradient

    def __init__(self, params: Parameters, defaults: Group, check_finite: bool = False) -> None:
        self.defaults, self.check_finite = defaults, check_finite
        self.param_groups: list[Group] = []
        self.memories: list[Memory] = []
        listed: list[Any] = list(params.named_parameters() if isinstance(params, Module) else params)
        if not listed:
            raise ValueError(f"{self.kind}: no parameters; give model.parameters() of a model that has some")
        for group in listed if isinstance(listed[0], dict) else [{"params": listed}]:
            self.add_param_group(group)

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def lr(self) -> float:
        """The learning rate of the first group. Setting it sets that of every group; a schedule sets it again."""
        return float(self.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        check_options(self.kind, {"lr": value})
        for group in self.param_groups:
            group["lr"] = value

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "learning_rate" or (name != "lr" and name in self.__dict__.get("defaults", ())):
            way = "optimizer.lr" if name == "learning_rate" else f"group[{name!r}] for every group of param_groups"
            raise AttributeError(f"{self.kind}: {name} would have no effect, options are in the groups; set {way}")
        super().__setattr__(name, value)

    def states(self, group: Group) -> tuple[str, ...]:
        """The names of what is remembered for every number of a parameter; each starts at zero."""
        raise NotImplementedError(f"{self.kind} has no states(group); define it in the class")

    def update(self, change: Array, g: Array, state: State, scratch: Array, step: int, group: Group) -> None:
        """Write into `change` what is subtracted from the parameters, given their gradient `g`, which is left as it is.

        The arrays of `state` are changed in place. All arrays have one shape; `scratch` is one more for intermediate
        results. `step` counts from 1. Weight decay is applied by the caller.
        """
        raise NotImplementedError(f"{self.kind} has no update; define it in the class")

    def validate(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""
        check_options(self.kind, group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimize more parameters, `group["params"]`; options left out are the optimizer's own."""
        if "params" not in group:
            raise ValueError(f"{self.kind}: a group needs 'params'")
        for name in group.keys() - self.defaults.keys() - {"params", "name", "initial_lr"}:
            near = difflib.get_close_matches(name, self.defaults, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.defaults)}"
            raise ValueError(f"{self.kind}: a group has no option {name!r}; {hint}")
        first = sum(len(memory.params) for memory in self.memories)
        names, params = _name_tensors(self.kind, group["params"], first)
        memory = Memory(params, names, first, self.whole)
        known = {id(p) for other in self.memories for p in other.params}
        for member, p in enumerate(params):
            if id(p) in known:
                raise ValueError(f"{self.kind}: {memory.label(member)} is given twice; give each parameter once")
            known.add(id(p))
        full = {**self.defaults, **group, "params": params}
        self.validate(full)
        self.check_params(memory)
        memory.keep(self.states(full))
        self.param_groups.append(full)
        self.memories.append(memory)

    def check_params(self, memory: Memory) -> None:
        """Refuse parameters that this optimizer cannot update."""

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; with `closure`, compute the loss first and return it.

        Raises ValueError for a gradient or parameter of another shape or dtype than before, and FloatingPointError with
        `check_finite`; then nothing is updated.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self.apply(self.gather())
        return loss

    def gather(self) -> list[Gathered]:
        """The first half of a step: the gradients of every group, checked. Raises what `step` raises."""
        return [self._gradients(memory) for memory in self.memories]

    def apply(self, found: list[Gathered]) -> None:
        """The second half: update every parameter for which `gather` found a gradient."""
        update = observe(self._apply, self.kind)
        for group, memory, gathered in zip(self.param_groups, self.memories, found, strict=True):
            update(group, memory, *gathered)

    def _apply(self, group: Group, memory: Memory, arrays: list[Array | None], gradients: list[Array]) -> None:
        memory.keep(self.states(group))
        update = Optimizer.update_group
        if kernels():
            update = substitute(getattr(self.update, "__func__", self.update), update)
        update(self, group, memory, arrays, gradients)
        memory.advance(arrays)
        note_write(*[array for array in arrays if array is not None])

    def update_group(self, group: Group, memory: Memory, arrays: list[Array | None], gradients: list[Array]) -> None:
        """Update the parameters of one group, whose numbers are `arrays` (None without gradient), bucket by bucket.

        An installed handler may compute this differently: its `kernel_for(update)`, by the function that `update` of
        the optimizer is, takes the same arguments, the optimizer first (see `tinytorch.tensor.substitute`).
        """
        decay, keep = group.get("weight_decay", 0.0), 1.0
        if self.decoupled:
            decay, keep = 0.0, 1 - group["lr"] * decay
        for bucket in memory.buckets(arrays):
            g = bucket.gradient(gradients, decay)
            self.update(bucket.change, g, bucket.state, bucket.extra, memory.steps[bucket.members[0]] + 1, group)
            bucket.apply(keep)

    def _gradients(self, memory: Memory) -> Gathered:
        arrays: list[Array | None] = []
        gradients: list[Array] = []
        shapes, dtypes, planned = memory.shapes, memory.dtypes, memory.planned
        for member, p in enumerate(memory.params):
            grad = p.grad
            if grad is None:
                arrays.append(None)
                gradients.append(_NOTHING)
                continue
            data, g, shape, dtype = p.data, grad.data, shapes[member], dtypes[member]
            known = data is planned[member] or (data.shape == shape and data.dtype == dtype)
            if not known or g.shape != shape or g.dtype != dtype:
                raise _misfit(self.kind, memory, member)
            if not data.flags.writeable:
                raise ValueError(f"{self.kind}: {memory.label(member)} is read-only; give it a copy of its array")
            if self.check_finite and not np.isfinite(g).all():
                raise FloatingPointError(
                    f"{self.kind}: the gradient of {memory.label(member)} has {np.count_nonzero(~np.isfinite(g))} of "
                    f"{g.size} numbers NaN or infinite; no parameter was changed"
                )
            arrays.append(data)
            gradients.append(g if g.flags.c_contiguous else np.ascontiguousarray(g))
        return arrays, gradients

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything a step depends on besides the parameters: `{"arrays": …, "meta": …}`.

        `arrays` maps flat names (`"0.m"`: the state `m` of parameter 0) to arrays; `meta` holds what JSON can hold.
        """
        return state.collect(self.kind, self.param_groups, self.memories)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue, bit for bit, where `state_dict` was taken, on an optimizer with the same groups of parameters.

        Raises ValueError, and changes nothing, for another optimizer, or names, shapes or dtypes of other parameters.
        """
        self.restore(self.read_state(saved))

    def read_state(self, saved: Mapping[str, Any]) -> list[Any]:
        """The first half of loading: what was saved, checked. Raises what `load_state_dict` raises."""
        groups = state.read(self.kind, saved, self.param_groups, self.memories)
        for group, found in zip(self.param_groups, groups, strict=True):
            merged = {**group, **found.options}
            self.validate(merged)
            missing = set(self.states(merged)).difference(*found.arrays[:1])
            if missing:
                raise ValueError(f"{self.kind}: the state has no {min(missing)!r}; nothing was loaded")
        return groups

    def restore(self, found: list[Any]) -> None:
        """The second half: take over what `read_state` found."""
        for group, memory, saved in zip(self.param_groups, self.memories, found, strict=True):
            group.update(saved.options)
            memory.restart(saved.arrays[0] if saved.arrays else (), saved.steps)
            for member, arrays in enumerate(saved.arrays):
                for name, array in arrays.items():
                    memory.view(member, name)[...] = array

    def __repr__(self) -> str:
        counts = [sum(p.size for p in group["params"]) for group in self.param_groups]
        options = ", ".join(f"{name}={value}" for name, value in self.param_groups[0].items() if name in self.defaults)
        return f"{self.kind}({options}) of {' + '.join(f'{count:,}' for count in counts)} parameters"


def _misfit(kind: str, memory: Memory, member: int) -> Exception:
    p, name, shape, dtype = memory.params[member], memory.label(member), memory.shapes[member], memory.dtypes[member]
    assert p.grad is not None
    error = ValueError if p.shape == p.grad.shape == shape else ShapeError
    if p.shape != shape or p.dtype != dtype:
        seen = f"was {shape} {dtype} and is {p.shape} {p.dtype}; make the optimizer after changing the model"
    else:
        seen = f"is {shape} {dtype}, its gradient {p.grad.shape} {p.grad.dtype}; they must agree"
    return error(f"{kind}: {name} {seen}")


def _name_tensors(kind: str, params: Any, first: int) -> tuple[list[str], list[Tensor]]:
    """Names, empty where there is none, and tensors out of tensors or `(name, tensor)` pairs."""
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
        names.append(name)
        tensors.append(p)
    return names, tensors
