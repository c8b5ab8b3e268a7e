"""What a trace consists of: values, the axes along which they vary, and why a function cannot be fused."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import numpy as np

from tinytorch.tensor import Primitive


class Refusal(Exception):
    """Why a function is not fused; it is then computed as it was written."""


class SizesRead(Exception):
    """The function asked how long an axis is, so that its trace holds for these sizes alone."""


@dataclass(eq=False)
class Axis:
    """One axis of the data. Two that are found to be the same, because values were broadcast, point to one."""

    same: Axis | None = None
    name: str = ""

    def find(self) -> Axis:
        """The one that stands for all that are the same."""
        return self if self.same is None else self.same.find()


Dims = tuple[Axis | None, ...]
"""The axes of a value, None where it has size 1."""


@dataclass(eq=False)
class Value:
    """One value in a trace: what it is computed by, from what, and along which axes.

    `inputs` are values and Python numbers. `operation` is "input", "constant" (a number), "count" (how many elements
    the axes in `over` have), "same" (its input, under a broadcast or reshaped form), "sum" or "max" (over the axes in
    `over`), or the name of an elementwise primitive. How a gradient passes back is that of `primitive`, of `ruled`,
    which where it is None are the `inputs`; a value without a primitive passes nothing back.
    """

    operation: str
    inputs: tuple[Any, ...]
    dims: Dims
    dtype: np.dtype[Any]
    number: int
    params: dict[str, Any] = field(default_factory=dict)
    primitive: Primitive | None = None
    rule: Any = None  # instead of the primitive's own
    ruled: tuple[Any, ...] | None = None
    over: tuple[Axis, ...] = ()
    name: str = ""
    varies: frozenset[Axis] = frozenset()  # along these axes; `settle` fills it in

    @property
    def values(self) -> list[Value]:
        """Those of its inputs that are values."""
        return [each for each in self.inputs if isinstance(each, Value)]

    def axes(self) -> tuple[Axis, ...]:
        """Its axes, without those of size 1."""
        return tuple(axis.find() for axis in self.dims if axis is not None)


def unify(*dims: Dims) -> Dims:
    """The axes of what is computed elementwise of values with these: those that meet are the same."""
    rank = max(map(len, dims), default=0)
    found: list[Axis | None] = [None] * rank
    for each in dims:
        for place, axis in enumerate(each, rank - len(each)):
            other = found[place]
            if axis is None:
                continue
            if other is not None and other.find() is not axis.find():
                axis.find().same = other.find()
            found[place] = axis
    return tuple(found)


def closure(values: Iterable[Value]) -> list[Value]:
    """These values and all that they are computed from, inputs first."""
    found: dict[int, Value] = {}
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) not in found:
            found[id(value)] = value
            waiting.extend(value.values)
    return sorted(found.values(), key=lambda value: value.number)


def order_axes(values: Iterable[Value]) -> list[Axis]:
    """All axes, so that every value has its own in this order. Raises Refusal where there is no such order."""
    sorter: TopologicalSorter[Axis] = TopologicalSorter()
    for value in values:
        axes = value.axes()
        if len(set(axes)) < len(axes):
            raise Refusal("an axis is broadcast against itself, as in x[:, None] * x; pass the second one by itself")
        for axis in axes:
            sorter.add(axis)
        for before, after in pairwise(axes):
            sorter.add(after, before)
    try:
        return list(sorter.static_order())
    except CycleError:
        raise Refusal("values have the same axes in different orders") from None


def primes(number: int) -> list[int]:
    """So many sizes that cannot be taken for each other."""
    found: list[int] = []
    candidate = 5
    while len(found) < number:
        if all(candidate % each for each in range(2, math.isqrt(candidate) + 1)):
            found.append(candidate)
        candidate += 1
    return found


def settle(values: list[Value]) -> None:
    """Say of each value, inputs first, along which axes its numbers differ."""
    for value in values:
        if value.operation in ("input", "sum", "max"):
            value.varies = frozenset(value.axes())
        else:
            value.varies = frozenset().union(*(each.varies for each in value.values))
