"""What is logged while a profiler watches: as little as possible, so that watching costs little.

Everything goes into one list, in the order in which it happens. All arithmetic is done later, in `events`.

An array is remembered by a weak reference whose callback is the `append` of that list: when the array dies, the
reference itself becomes the next entry, without a line of Python being run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from threading import get_ident
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any
from weakref import ReferenceType, getweakrefcount, getweakrefs

import numpy as np

from tinytorch.autograd import Node, Step
from tinytorch.tensor import OBSERVE, Array, Primitive, Tensor

from .shaped import Shaped

FORWARD, BACKWARD, UPDATE, ENTER, LEAVE = "forward", "backward", "update", "enter", "leave"
OPERATIONS = (FORWARD, BACKWARD, UPDATE)
MODULE, REGION, BLOCK = "module", "region", "block"

# The entries of a log:
#   (FORWARD, primitive, start, stop, thread, inputs, params, output, fresh, birth of the node or None, None)
#   (BACKWARD, primitive, start, stop, thread, inputs, params, output, fresh, birth of the node, needs)
#   (UPDATE, name of the optimizer, start, stop, thread, inputs, options, first input, fresh, None, None)
#       its inputs are the numbers of each dtype that are updated
#   (ENTER or LEAVE, kind, name, time, thread)    kind is MODULE, REGION or BLOCK
#   a ReferenceType                               that array died
# Inputs and outputs are (shape, dtype); Python scalars and None stand for themselves. The inputs and params of a
# backward are None when its forward is in the log. Fresh are the arrays that came into being: a reference and bytes for
# each, one after the other. Times are in nanoseconds.
Entry = Any
Log = list[Entry]

SCALARS = frozenset({int, float, bool, type(None)})
PLAIN = SCALARS | {str}

LIMIT = 1_000_000
"""Entries that a log holds: an operation with its end, a module entered or left, an array freed. About 130 MB."""


class Watch:
    """A handler around primitives, an observer of backward rules and of optimizers, which write into one log."""

    level = OBSERVE

    def __init__(self, limit: int = LIMIT) -> None:
        self.log: Log = []
        self.limit = limit
        self.dropped = 0  # operations that ran when the log was full
        self._append = self.log.append
        self._births: set[int] = set()  # of the nodes whose forward is in the log

    # The following runs around every operation. It is spelled out where a function call or a comprehension would cost
    # as much as the rest of its line, and tests the most common case first: a result with memory of its own.

    def __call__(self, next: Any, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        if len(self.log) >= self.limit:
            self.dropped += 1
            return next(primitive, args, params)
        start = perf_counter_ns()
        result = next(primitive, args, params)
        stop = perf_counter_ns()
        append = self._append
        out = result[0] if primitive.fused else result
        data, node, birth = out.data, out.node, None
        if node is not None:
            birth = node.birth
            self._births.add(birth)
        inputs, own = [], data.base is None and not getweakrefcount(data)
        for arg in args:
            if isinstance(arg, Tensor):
                x = arg.data
                inputs.append((x.shape, x.dtype))
                if x is data:
                    own = False
            else:
                inputs.append(_shaped(arg))
        fresh: tuple[Any, ...] = (ReferenceType(data, append), data.nbytes) if own else self._fresh(data, args)
        if primitive.fused and result[1] is not None:
            for array in _arrays(result[1]):
                fresh += self._fresh(array, args)
        append(
            (
                FORWARD, primitive, start, stop, get_ident(), inputs, _plain(params) if params else None,
                (data.shape, data.dtype), fresh, birth, None,
            )
        )  # fmt: skip
        return result

    def backward(self, next: Step, node: Node, gradient: Any, needs: Sequence[bool]) -> Sequence[Any]:
        if len(self.log) >= self.limit:
            self.dropped += 1
            return next(node, gradient, needs)
        start = perf_counter_ns()
        gradients = next(node, gradient, needs)
        stop = perf_counter_ns()
        append, birth, inputs, params = self._append, node.birth, None, None
        if birth not in self._births:
            inputs, params = [_shaped(arg) for arg in node.args or ()], _plain(node.params)
        fresh: tuple[Any, ...] = ()
        for each in gradients:
            if each is None or each is gradient:
                continue
            if type(each) is np.ndarray and each.base is None and not getweakrefcount(each):
                fresh += (ReferenceType(each, append), each.nbytes)
            else:
                fresh += self._fresh(each, (gradient, *(node.args or ())))
        append(
            (
                BACKWARD, node.primitive, start, stop, get_ident(), inputs, params,
                (gradient.shape, gradient.dtype), fresh, birth, needs,
            )
        )  # fmt: skip
        return gradients

    def update(self, next: Any, kind: str, group: dict[str, Any], memory: Any, arrays: Sequence[Array | None]) -> None:
        if len(self.log) >= self.limit:
            self.dropped += 1
            return next()
        start = perf_counter_ns()
        next()
        stop = perf_counter_ns()
        sizes: Counter[np.dtype[Any]] = Counter()
        for array in arrays:
            if array is not None:
                sizes[array.dtype] += array.size
        inputs = [((size,), dtype) for dtype, size in sizes.items()]
        if not inputs:
            return  # no gradient, no update
        params = {**_plain({name: group[name] for name in group if name != "params"}), "states": len(memory.state)}
        fresh: tuple[Any, ...] = ()
        for array in _arrays(memory.state):
            fresh += self._fresh(array, ())
        self._append((UPDATE, kind, start, stop, get_ident(), inputs, params, inputs[0], fresh, None, None))

    def hooks(self, kind: str, name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        """Two functions that log that a module, a region or a block is entered, and left."""

        def enter(*_: Any) -> None:
            self._edge(ENTER, kind, name)

        def leave(*_: Any) -> None:
            self._edge(LEAVE, kind, name)

        return enter, leave

    def _edge(self, edge: str, kind: str, name: str) -> None:
        if len(self.log) < self.limit:
            self._append((edge, kind, name, perf_counter_ns(), get_ident()))

    def _fresh(self, value: Any, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """A reference to the array that owns the memory of `value`, unless an input or an earlier result owns it."""
        owner = _owner(value)
        if owner is None or owner.base is not None:  # not an array, or memory of a mapped file
            return ()
        for reference in getweakrefs(owner):
            if reference.__callback__ is self._append:
                return ()
        for each in inputs:
            if _owner(each) is owner:
                return ()
        return ReferenceType(owner, self._append), owner.nbytes


def _owner(value: Any) -> Array | None:
    """The array that owns the memory of a tensor or an array."""
    array = value.data if isinstance(value, Tensor) else value
    if type(array) is not np.ndarray:
        return None
    while type(array.base) is np.ndarray:
        array = array.base
    return array


def _shaped(arg: Any) -> Any:
    if type(arg) in SCALARS:
        return arg
    if isinstance(arg, Node):  # in place of the tensor that it made, if no rule reads its values
        return arg.shape, arg.dtype
    data = np.asarray(arg.data if isinstance(arg, Tensor) else arg)
    return data.shape, data.dtype


def _plain(value: Any) -> Any:
    """A parameter without the arrays in it, which would otherwise live as long as the log.

    Objects of other classes are replaced by their public numbers and strings at this moment.
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        for each in value.values():
            if type(each) not in PLAIN:
                return {name: _plain(each) for name, each in value.items()}
        return value
    if isinstance(value, tuple | list):
        for each in value:
            if type(each) not in PLAIN:
                return tuple([_plain(each) for each in value])
        return value
    if isinstance(value, Tensor | np.ndarray):
        return Shaped(value.shape, value.dtype)
    if isinstance(value, np.generic):
        return value.item()
    members = getattr(value, "__dict__", {}).items()
    return SimpleNamespace(**{name: each for name, each in members if type(each) in PLAIN and name[:1] != "_"})


def _arrays(saved: Any) -> list[Any]:
    """The arrays in what a fused primitive keeps for its backward."""
    if type(saved) is np.ndarray:
        return [saved]
    if isinstance(saved, tuple | list):
        return [array for each in saved for array in _arrays(each)]
    if isinstance(saved, dict):
        return [array for each in saved.values() for array in _arrays(each)]
    return []
