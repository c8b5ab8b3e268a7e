"""What is written down while a profiler watches: as little as possible, so that watching hardly slows what is watched.

Everything goes into one list, in the order in which it happens. All arithmetic is done later, in `events`.

An array is remembered by a weak reference whose callback is the `append` of that list: when the array dies, the
reference itself becomes the next entry, without a line of Python being run.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import get_ident
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any
from weakref import ReferenceType

import numpy as np

from tinytorch.autograd import Node, Step
from tinytorch.tensor import OBSERVE, Array, Primitive, Tensor

from .shaped import Shaped

FORWARD, BACKWARD, ENTER, LEAVE = "forward", "backward", "enter", "leave"
MODULE, REGION, BLOCK = "module", "region", "block"

Fresh = tuple[tuple["ReferenceType[Array]", int], ...]
"""Arrays that came into being, with their bytes."""

# The entries of a log:
#   (FORWARD, primitive, start, stop, thread, inputs, params, output, fresh, birth of the node or None, None)
#   (BACKWARD, primitive, start, stop, thread, inputs, params, output, fresh, birth of the node, needs)
#   (ENTER or LEAVE, kind, name, time, thread)    kind is MODULE, REGION or BLOCK
#   a ReferenceType                               that array died
# Inputs and outputs are (shape, dtype); Python scalars and None stand for themselves. Times are in nanoseconds.
Entry = Any
Log = list[Entry]

SCALARS = frozenset({int, float, bool, type(None)})
PLAIN = SCALARS | {str}


class Watch:
    """A handler around every primitive and an observer of every backward rule, which write into one log."""

    level = OBSERVE

    def __init__(self) -> None:
        self.log: Log = []
        self._append = self.log.append
        self._living: dict[int, ReferenceType[Array]] = {}

    def __call__(self, next: Any, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        start = perf_counter_ns()
        result = next(primitive, args, params)
        stop = perf_counter_ns()
        out = result[0] if primitive.fused else result
        data, node = out.data, out.node
        inputs, x = [], data
        for arg in args:  # spelled out: a function called for each input would cost as much as all the rest
            if isinstance(arg, Tensor):
                x = arg.data
                inputs.append((x.shape, x.dtype))
            else:
                inputs.append(_shaped(arg))
        if primitive.fused:
            fresh = self._fresh((data, *_arrays(result[1])), args)
        elif (base := data.base) is not None and (base is x or base is x.base):  # a view of the last input
            fresh = ()
        else:
            fresh = self._fresh((data,), args)
        self._append(
            (
                FORWARD, primitive, start, stop, get_ident(), inputs, _plain(params) if params else params,
                (data.shape, data.dtype), fresh, None if node is None else node.birth, None,
            )
        )  # fmt: skip
        return result

    def backward(self, next: Step, node: Node, gradient: Any, needs: tuple[bool, ...]) -> Sequence[Any]:
        start = perf_counter_ns()
        gradients = next(node, gradient, needs)
        stop = perf_counter_ns()
        args, params = node.args or (), node.params
        inputs = []
        for arg in args:
            if isinstance(arg, Tensor):
                x = arg.data
                inputs.append((x.shape, x.dtype))
            else:
                inputs.append(_shaped(arg))
        fresh = self._fresh(gradients, (gradient,))  # no rule hands back an input
        self._append(
            (
                BACKWARD, node.primitive, start, stop, get_ident(), inputs, _plain(params) if params else params,
                (gradient.shape, gradient.dtype), fresh, node.birth, needs,
            )
        )  # fmt: skip
        return gradients

    def mark(self, edge: str, kind: str, name: str) -> None:
        """Note that a module, a region or a block is entered or left."""
        self._append((edge, kind, name, perf_counter_ns(), get_ident()))

    def _fresh(self, arrays: Sequence[Any], inputs: Sequence[Any]) -> Fresh:
        """Those of `arrays` that own memory which neither an input nor an earlier result owns."""
        found: Fresh = ()
        for array in arrays:
            owner = _owner(array)
            if owner is None or owner.base is not None:  # no array; or memory of somebody else, such as a mapped file
                continue
            known = self._living.get(id(owner))
            if known is not None and known() is owner:
                continue
            for each in inputs:
                if _owner(each) is owner:
                    break
            else:
                self._living[id(owner)] = reference = ReferenceType(owner, self._append)
                found = (*found, (reference, owner.nbytes))
        return found


def _owner(value: Any) -> Any:
    """The array that owns the memory of a tensor or an array."""
    array = value.data if isinstance(value, Tensor) else value
    if type(array) is not np.ndarray:
        return None
    while type(array.base) is np.ndarray:
        array = array.base
    return array


def _shaped(arg: Any) -> Any:
    if isinstance(arg, Tensor):
        data = arg.data
        return data.shape, data.dtype
    if type(arg) in SCALARS:
        return arg
    data = np.asarray(arg)
    return data.shape, data.dtype


def _plain(value: Any) -> Any:
    """A parameter without the arrays in it, which would otherwise live as long as the log.

    Of an object that is none of Python's own, its public numbers and strings at this moment.
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
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
