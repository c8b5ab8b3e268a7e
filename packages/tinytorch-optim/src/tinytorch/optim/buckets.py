"""The parameters of a group in buckets: numbers that are updated together, few enough for the processor's cache.

    parameters      w1 (64, 128)   b1 (128,)   w2 (128, 10)   embedding (5000, 64)
    state "m"     [     w1       |    b1     |     w2       |            embedding            ]   one flat array
    buckets       [ bucket 0: their gradients are copied    ][ bucket 1 ][ bucket 2 ][   …    ]
                    into one array                             pieces of one parameter, in place
    scratch       [ change ] [ gradient ] [ extra ]      three temporaries, used by all buckets in turn

An update rule is arithmetic on single numbers: which parameter a number belongs to does not matter to it. One call for
several small parameters costs less than one for each, and a piece of a large one stays in the cache from the first
operation of the rule to the last. What the rule writes into `change` is subtracted from the parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor

SIZE = 32 * 1024  # numbers in a bucket; an update touches six arrays of it: 768 KiB in float32

State = dict[str, Array]
Group = dict[str, Any]  # "params" and options
DType = np.dtype[Any]


class Bucket:
    """Several small parameters, or the `piece` of a large one, as one array: their gradients, state and change.

    `members` are their places in the group, `arrays` their numbers, `scratch` the three rows drawn above.
    With `whole` a rule sees the only parameter in its own shape.
    """

    def __init__(
        self, members: Sequence[int], arrays: Sequence[Array], piece: slice, state: State, scratch: Array, whole: bool
    ) -> None:
        self.members, self.arrays, self.piece = members, arrays, piece
        self.shape = arrays[0].shape if whole else (-1,)
        size = sum(array.size for array in arrays)
        self.state = {name: values.reshape(self.shape) for name, values in state.items()}
        self.change, self._gradient, self.extra = (row[:size].reshape(self.shape) for row in scratch)
        self._changes, self._gradients = (_views(row, arrays) for row in scratch[:2])

    def gradient(self, gradients: Sequence[Array] | dict[int, Array], decay: float) -> Array:
        """The gradients of the parameters p, with `decay` · p added."""
        if len(self.members) == 1:
            g = gradients[self.members[0]].reshape(-1)[self.piece]
            if not decay:
                return g.reshape(self.shape)
            gradients = {self.members[0]: g.reshape(self.arrays[0].shape)}
        for member, p, target in zip(self.members, self.arrays, self._gradients, strict=True):
            if decay:
                np.multiply(p, decay, out=target)
                target += gradients[member]
            else:
                target[...] = gradients[member]
        return self._gradient

    def apply(self, keep: float) -> None:
        """p ← keep · p - change"""
        for p, change in zip(self.arrays, self._changes, strict=True):
            if keep != 1:
                p *= keep
            p -= change


def _views(row: Array, arrays: Iterable[Array]) -> list[Array]:
    """`row` cut into views with the shapes of `arrays`."""
    parts = np.split(row, np.cumsum([array.size for array in arrays]))  # the last is what is left
    return [part.reshape(array.shape) for part, array in zip(parts[:-1], arrays, strict=True)]


class Memory:
    """What is remembered of the parameters of one group: steps, and one flat array per name and dtype.

    `names` are empty for parameters without one; `first` is the place of the first parameter in the optimizer.
    """

    def __init__(self, params: Sequence[Tensor], names: Sequence[str], first: int, whole: bool) -> None:
        self.params, self.names, self.first, self.whole = params, names, first, whole
        self.steps = [0] * len(params)
        self.shapes, self.dtypes = [p.shape for p in params], [p.dtype for p in params]
        self.state: dict[str, dict[DType, Array]] = {}
        self._starts: list[int] = []  # where each parameter begins and ends in the flat arrays of its dtype
        self._ends: list[int] = []
        self._totals: dict[DType, int] = {}
        for p in params:
            self._starts.append(self._totals.get(p.dtype, 0))
            self._ends.append(self._starts[-1] + p.size)
            self._totals[p.dtype] = self._ends[-1]
        self._buckets: list[Bucket] = []
        self.planned: list[Array | None] = []  # what the buckets are made for: the arrays that have a gradient
        self._forget_plan()

    def label(self, member: int) -> str:
        """How errors call a parameter."""
        return self.names[member] or f"parameter {self.first + member} {self.shapes[member]}"

    def keep(self, names: Iterable[str]) -> None:
        """Have zeros under each of `names` that is not there yet."""
        for name in names:
            if name not in self.state:
                self.state[name] = {dtype: np.zeros(total, dtype) for dtype, total in self._totals.items()}
                self._forget_plan()

    def restart(self, names: Iterable[str], steps: list[int]) -> None:
        """Have zeros under `names` and nothing else, `steps` after the beginning."""
        self.state, self.steps = {}, steps
        self._forget_plan()
        self.keep(names)

    def view(self, member: int, name: str) -> Array:
        """The state `name` of one parameter, in the parameter's shape."""
        return self._between(member, member)[name].reshape(self.shapes[member])

    def buckets(self, arrays: list[Array | None]) -> list[Bucket]:
        """The buckets for `arrays`: the arrays of the parameters, None for one that has no gradient."""
        if not all(map(is_, arrays, self.planned)):
            self._buckets = self._plan(arrays)
            self.planned = arrays
        return self._buckets

    def advance(self, arrays: list[Array | None]) -> None:
        """Count one step for every parameter that has a gradient."""
        self.steps = [step + (array is not None) for step, array in zip(self.steps, arrays, strict=True)]

    def _forget_plan(self) -> None:
        self._buckets, self.planned = [], [None] * len(self.params)

    def _between(self, first: int, last: int) -> State:
        """The state of the neighbors first … last, which have one dtype."""
        part = slice(self._starts[first], self._ends[last])
        return {name: values[self.dtypes[first]][part] for name, values in self.state.items()}

    def _plan(self, arrays: list[Array | None]) -> list[Bucket]:
        parts: list[tuple[list[int], list[Array], slice]] = []
        for run in self._runs(arrays):
            own = [array for member in run if (array := arrays[member]) is not None]
            if own[0].size > SIZE and own[0].flags.c_contiguous and not self.whole:
                pieces = [slice(start, start + SIZE) for start in range(0, own[0].size, SIZE)]
                parts += [(run, [own[0].reshape(-1)[piece]], piece) for piece in pieces]
            else:
                parts.append((run, own, slice(None)))
        sizes = dict.fromkeys(self._totals, 0)
        for _, own, _ in parts:
            sizes[own[0].dtype] = max(sizes[own[0].dtype], sum(array.size for array in own))
        scratch = {dtype: np.empty((3, size), dtype) for dtype, size in sizes.items()}
        buckets = []
        for run, own, piece in parts:
            state = {name: values[piece] for name, values in self._between(run[0], run[-1]).items()}
            buckets.append(Bucket(run, own, piece, state, scratch[own[0].dtype], self.whole))
        return buckets

    def _runs(self, arrays: list[Array | None]) -> list[list[int]]:
        """Parameters with gradients that are updated together, by their places."""
        runs: list[list[int]] = []
        latest: dict[DType, list[int]] = {}
        for member, array in enumerate(arrays):
            if array is None or array.size == 0:
                continue
            run = latest.get(array.dtype)
            if run is None or self.whole or not self._fits(run, member):
                run = latest[array.dtype] = []
                runs.append(run)
            run.append(member)
        return runs

    def _fits(self, run: list[int], member: int) -> bool:
        """Whether a parameter lies directly behind others of its dtype, after as many steps, and there is room."""
        size = self._ends[member] - self._starts[run[0]]
        return self._starts[member] == self._ends[run[-1]] and self.steps[member] == self.steps[run[0]] and size <= SIZE
