"""The parameters of a group as rows of numbers short enough for the cache.

An update rule is arithmetic on single numbers, so it does not matter to it which parameter a number belongs to. Small
parameters have their gradients copied into one row, which costs less than running the rule on each; a large one is
taken in stretches. Either way the rule sees one-dimensional arrays that stay in the cache from its first
operation to its last. What it writes is taken off the parameters at the end, each where it lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any, Protocol

import numpy as np

from tinytorch.tensor import Array, Tensor

BLOCK = 32 * 1024  # numbers; an update touches six rows: 768 KiB in float32

State = dict[str, Array]


class Block(Protocol):
    """Numbers that are updated together: their state, room for two results, and the way in and out."""

    state: State
    change: Array
    spare: Array

    @property
    def members(self) -> Sequence[int]:
        """Which of the group's parameters the numbers belong to."""

    def gradient(self, gradients: Sequence[Array], decay: float) -> Array:
        """The gradients of the parameters p, with `decay` · p added."""

    def apply(self, keep: float) -> None:
        """p ← keep · p - change"""


class Pool:
    """Several parameters, whose gradients are copied into one row."""

    def __init__(self, members: Sequence[int], arrays: Sequence[Array], state: State, room: Array) -> None:
        self.members = members
        self.arrays = arrays
        self.state = state
        size = sum(array.size for array in arrays)
        self.change, self.spare, self.g = room[0, :size], room[1, :size], room[2, :size]
        self.changes = _parts(self.change, arrays)
        self.gs = _parts(self.g, arrays)

    def gradient(self, gradients: Sequence[Array], decay: float) -> Array:
        for member, p, part in zip(self.members, self.arrays, self.gs, strict=True):
            if decay:
                np.multiply(p, decay, out=part)
                part += gradients[member]
            else:
                part[...] = gradients[member]
        return self.g

    def apply(self, keep: float) -> None:
        for p, change in zip(self.arrays, self.changes, strict=True):
            if keep != 1:
                p *= keep
            p -= change


class Single:
    """Numbers of one parameter, updated where they lie: the stretch `place` of its row, or all of it in its shape."""

    def __init__(self, member: int, array: Array, place: slice | None, state: State, room: Array) -> None:
        self.members = (member,)
        self.place = place
        self.p = self._cut(array)
        shape = self.p.shape
        self.state = {name: row.reshape(shape) for name, row in state.items()}
        self.change, self.spare, self.decayed = (row[: self.p.size].reshape(shape) for row in room)

    def _cut(self, array: Array) -> Array:
        return array if self.place is None else array.reshape(-1)[self.place]

    def gradient(self, gradients: Sequence[Array], decay: float) -> Array:
        g = self._cut(gradients[self.members[0]])
        if decay:
            np.multiply(self.p, decay, out=self.decayed)
            self.decayed += g
            g = self.decayed
        return g

    def apply(self, keep: float) -> None:
        if keep != 1:
            self.p *= keep
        self.p -= self.change


def _parts(row: Array, arrays: Iterable[Array]) -> list[Array]:
    """`row` cut into views with the shapes of `arrays`."""
    parts, start = [], 0
    for array in arrays:
        parts.append(row[start : start + array.size].reshape(array.shape))
        start += array.size
    return parts


class Rows:
    """The state of one group's parameters, one flat row for each name and dtype, and the blocks to update them in."""

    def __init__(self, params: Sequence[Tensor], names: Sequence[str], whole: bool = False) -> None:
        self.params = params
        self.whole = whole
        self.steps = [0] * len(params)
        self.dtypes = [p.data.dtype for p in params]
        self.starts: list[int] = []
        self.totals: dict[np.dtype[Any], int] = {}
        for p in params:
            self.starts.append(self.totals.get(p.data.dtype, 0))
            self.totals[p.data.dtype] = self.starts[-1] + p.data.size
        self.rows: dict[str, dict[np.dtype[Any], Array]] = {}
        self.allot(names)
        self._blocks: list[Block] = []
        self._arrays: list[Array | None] = []  # what the blocks were made for: the arrays of parameters with a gradient

    def allot(self, names: Iterable[str]) -> None:
        """Have a row of zeros for each of `names`, keeping those that are there."""
        for name in names:
            if name not in self.rows:
                self.rows[name] = {dtype: np.zeros(total, dtype) for dtype, total in self.totals.items()}
                self._arrays = []

    def state_of(self, member: int, name: str) -> Array:
        """The state `name` of one parameter, in the parameter's shape, as a view."""
        p = self.params[member].data
        return self._cut(member, member)[name].reshape(p.shape)

    def blocks(self, arrays: list[Array | None]) -> list[Block]:
        """The blocks for `arrays`: the arrays of the parameters, None for one that has no gradient."""
        if len(arrays) != len(self._arrays) or not all(map(is_, arrays, self._arrays)):
            self._blocks = self._plan(arrays)
            self._arrays = arrays
        return self._blocks

    def advance(self, arrays: list[Array | None]) -> None:
        """Count one step for every parameter that has a gradient."""
        self.steps = [step + (array is not None) for step, array in zip(self.steps, arrays, strict=True)]

    def forget_plan(self) -> None:
        """Make the blocks anew next time: parameters that were in step may no longer be."""
        self._arrays = []

    def _cut(self, first: int, last: int) -> State:
        """The state of the neighbours first … last, which have one dtype."""
        dtype = self.dtypes[first]
        place = slice(self.starts[first], self.starts[last] + self.params[last].data.size)
        return {name: rows[dtype][place] for name, rows in self.rows.items()}

    def _plan(self, arrays: list[Array | None]) -> list[Block]:
        runs = self._runs(arrays)
        room = {
            dtype: np.empty((3, max(min(sum(a.size for a in run), self._limit(run)) for _, run in same)), dtype)
            for dtype in self.totals
            if (same := [(members, run) for members, run in runs if run[0].dtype == dtype])
        }
        blocks: list[Block] = []
        for members, run in runs:
            first, array, spare = members[0], run[0], room[run[0].dtype]
            state = self._cut(first, members[-1])
            if self.whole:
                blocks.append(Single(first, array, None, state, spare))
            elif self._limit(run) == BLOCK and array.size > BLOCK:
                for start in range(0, array.size, BLOCK):
                    place = slice(start, min(start + BLOCK, array.size))
                    part = {name: row[place] for name, row in state.items()}
                    blocks.append(Single(first, array, place, part, spare))
            else:
                blocks.append(Pool(members, run, state, spare))
        return blocks

    def _limit(self, run: list[Array]) -> int:
        """How many numbers of a run are updated at a time: all of an array whose numbers do not lie in one row."""
        return max(run[0].size, BLOCK) if self.whole or not run[0].flags.c_contiguous else BLOCK

    def _runs(self, arrays: list[Array | None]) -> list[tuple[list[int], list[Array]]]:
        """Neighbours in the rows that are updated together: in step, with gradients, and within the size of a block."""
        runs: list[tuple[list[int], list[Array]]] = []
        end: dict[np.dtype[Any], int] = {}  # where the latest run of a dtype ends
        latest: dict[np.dtype[Any], tuple[list[int], list[Array]]] = {}
        for member, array in enumerate(arrays):
            if array is None or array.size == 0:
                continue
            dtype, start = array.dtype, self.starts[member]
            run = latest.get(dtype)
            joins = (
                run is not None
                and not self.whole
                and end[dtype] == start
                and self.steps[run[0][0]] == self.steps[member]
                and sum(a.size for a in run[1]) + array.size <= BLOCK
            )
            if run is None or not joins:
                run = latest[dtype] = ([], [])
                runs.append(run)
            run[0].append(member)
            run[1].append(array)
            end[dtype] = start + array.size
        return runs
