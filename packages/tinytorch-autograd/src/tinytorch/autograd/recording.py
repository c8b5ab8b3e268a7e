"""Recording: the handler that remembers how every tensor was made."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinytorch.tensor import RECORD, Array, Primitive, Tensor, array_of, handlers, mutation, written_since

from .errors import GraphError
from .modes import modes
from .registry import Rule, rule_of, rules

_tracing: ContextVar[bool] = ContextVar("tracing", default=False)
next_birth = itertools.count().__next__


@dataclass(eq=False, repr=False, slots=True)
class Node:
    """One operation that was recorded: what went in, what came out, and when.

    `birth` numbers them: an operation is younger than those its inputs came from. Where a rule reads no values, a node
    also stands in for the tensor that it made: it has its `shape` and `dtype`, and does not keep its array alive.
    """

    primitive: Primitive
    rule: Rule
    args: tuple[Any, ...] | None  # None once freed
    params: dict[str, Any]
    origins: list[Origin | None]  # for each of args, where its gradient goes
    needs: list[bool]  # and whether it goes anywhere
    out: Array | None
    saved: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    birth: int
    moment: int
    hooks: list[Callable[[Tensor], Tensor | None]] | None = None
    trace: list[traceback.FrameSummary] | None = None

    def check_usable(self) -> None:
        """Raise GraphError when what was kept has been freed, or written to since."""
        if self.args is None:
            raise GraphError(
                f"backward: what {self.primitive.name} kept was freed by an earlier backward pass; "
                "pass retain_graph=True to the earlier one, or compute the result again"
            )
        if self.moment != mutation.now:
            arrays = [arg._data for arg in self.args if self.rule.keeps_inputs and isinstance(arg, Tensor)]
            if self.rule.reads_params:
                arrays += _arrays_in(self.params.values())
            if any(written_since(array, self.moment) for array in (*arrays, self.out) if array is not None):
                raise GraphError(
                    f"backward: an input or the result of {self.primitive.name} was changed in place after it was "
                    "computed; change a .copy() instead, or change it after backward()"
                )

    def free(self) -> None:
        """Let go of everything that was kept for the backward pass."""
        self.args = self.out = self.saved = None
        self.origins = []

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise AttributeError("a node has no values", name="values", obj=self)  # the pass says whose rule asked for them

    __array__ = __array_ufunc__ = __array_function__ = __getitem__ = __neg__ = __lt__ = __gt__ = _refuse
    __le__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __pow__ = __rpow__ = _refuse

    def __repr__(self) -> str:
        return f"<node {self.birth}: {self.primitive.name}>"


Origin: TypeAlias = Node | Tensor
"""What gradients are collected under: the operation that a tensor came from, or the leaf itself."""


def origin(arg: Origin) -> Origin:
    """Where the gradient of one of a node's inputs goes."""
    return arg if isinstance(arg, Node) or arg.node is None else arg.node


def _check_params(primitive: Primitive, params: dict[str, Any]) -> None:
    """Refuse a parameter that requires gradients: none would reach it. Raises GraphError."""
    for name, value in params.items():
        for each in value if type(value) is tuple or type(value) is list else (value,):
            if isinstance(each, Tensor) and each.requires_grad:
                raise GraphError(
                    f"{primitive.name}: {name} requires gradients, but only inputs get them and {name} is a parameter; "
                    "declare it before the / of the primitive, or pass it .detach()ed"
                )


def _arrays_in(values: Iterable[Any]) -> Iterator[Array]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _arrays_in(value)
        elif isinstance(value, Tensor | np.ndarray):
            yield array_of(value)


class Recorder:
    """The handler: runs the primitive and, when a gradient may pass through it, hangs a node on the result."""

    level = RECORD

    def __call__(self, next: Any, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        if not modes.get()[-1]:
            return next(primitive, args, params)
        if params:
            _check_params(primitive, params)
        origins: list[Origin | None] = []
        needs: list[bool] = []
        for arg in args:
            if isinstance(arg, Tensor) and arg.requires_grad:
                origins.append(arg.node or arg)
                needs.append(True)
            else:
                origins.append(None)
                needs.append(False)
        if True not in needs:
            return next(primitive, args, params)
        rule = rules.get(primitive) or rule_of(primitive)  # before the forward runs: it might write in place
        result = next(primitive, args, params)
        out, saved = result if primitive.fused else (result, None)
        array = out._data
        if rule.reason or array.dtype.kind != "f":
            return result
        if not rule.keeps_inputs:  # instead of each tensor that was computed, the node that made it
            args = tuple([arg if where is None else where for arg, where in zip(args, origins, strict=True)])
        out.node = node = Node(
            primitive, rule, args, params, origins, needs, array if rule.keeps_out else None, saved,
            array.shape, array.dtype, next_birth(), mutation.now,
        )  # fmt: skip
        out.requires_grad = True
        if _tracing.get():
            node.trace = traceback.extract_stack()[:-2]
        return result


recorder = Recorder()


def is_grad_enabled() -> bool:
    """Whether operations are recorded here and now, in this thread and task.

    >>> from tinytorch.autograd import no_grad
    >>> with no_grad():
    ...     is_grad_enabled()
    False
    """
    return recorder in handlers() and modes.get()[-1]
