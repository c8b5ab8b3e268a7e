"""A plan as something that runs: its sweeps compiled, its arrays made, chunks of rows shared among the cores."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from typing import Any

import numpy as np

from tinytorch.tensor import Array, replacing

from ..compiling import Compiled, cache_folder
from ..kernels.elementary import exp32, exp64
from ..team import share
from . import elementary
from .graph import Axis, Value
from .planning import Plan, Sweep
from .writing import Writer, accumulator

GRAIN = 16384
"""A chunk has at least so many elements: sharing fewer costs more than it saves."""
MOST = 32
"""And there are at most so many chunks. Sums depend on how many there are, so cores have no say in it."""

NAMES: dict[str, Any] = {
    "math": math, "np": np, "exp32": exp32, "exp64": exp64,
    **{name: getattr(elementary, name) for name in ("log32", "tanh32", "erf32", "plus")},
    **{name: getattr(elementary, name) for name in ("rank32", "rank64", "value32", "value64")},
    **{name: getattr(np, name) for name in ("float32", "float64", "bool_")},
    **{f"{kind}{size}": getattr(np, f"{kind}{size}") for kind in ("int", "uint") for size in (8, 16, 32, 64)},
    "lowest32": np.int32(np.iinfo(np.int32).min), "lowest64": np.int64(np.iinfo(np.int64).min),
}  # fmt: skip
"""What the programs use."""


class Kernel:
    """One sweep as a compiled function."""

    def __init__(self, plan: Plan, sweep: Sweep, name: str) -> None:
        self.plan, self.sweep = plan, sweep
        writer = Writer(plan, sweep)
        self.source, self.leaves = writer.source(name), writer.leaves
        self.units = sweep.over[:-1] or sweep.over
        self.compiled = Compiled(_load(self.source, name), reassociate=False)

    def chunks(self, sizes: dict[Axis, int]) -> int:
        """Into how many chunks the rows are cut: few enough that adding up what each leaves does not matter."""
        elements = math.prod(sizes[axis] for axis in self.sweep.over)
        units = math.prod(sizes[axis] for axis in self.units)
        most = min(MOST, units, elements // GRAIN)
        for target in self.sweep.targets:
            if self.plan.across(target):
                most = min(most, elements // (8 * math.prod(sizes[axis] for axis in self.plan.dims(target))))
        return max(1, most)

    def __call__(self, sizes: dict[Axis, int], memory: dict[Value, Array]) -> None:
        """Compute the targets into `memory`."""
        chunks = self.chunks(sizes)
        arrays = [memory[leaf] for leaf in self.leaves]
        outs = []
        for target in self.sweep.targets:
            shape = tuple(sizes[axis] for axis in self.plan.dims(target)) or (1,)
            if self.plan.across(target):
                kind = np.dtype(accumulator(target))
                lowest = 0 if target.operation == "sum" else np.iinfo(kind).min
                outs.append(np.full((chunks, *shape), lowest, kind))
            else:
                outs.append(np.empty(shape, target.dtype))
        lengths = [sizes[axis] for axis in self.sweep.over]
        if chunks == 1:
            self.compiled(0, 1, *lengths, *arrays, *outs)
        else:
            share(lambda chunk: self.compiled(chunk, chunks, *lengths, *arrays, *outs), chunks)
        for target, out in zip(self.sweep.targets, outs, strict=True):
            memory[target] = _join(target, out) if self.plan.across(target) else out


class Program:
    """All sweeps of a plan: from the arrays of the inputs to those of the outputs."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.kernels = [
            Kernel(plan, sweep, f"{name}_{number}" if number else name) for number, sweep in enumerate(plan.sweeps)
        ]
        self.counts = [value for value in plan.values if value.operation == "count"]

    @property
    def source(self) -> str:
        """The Python that is compiled."""
        return "\n\n".join(kernel.source for kernel in self.kernels)

    @cached_property
    def _places(self) -> list[tuple[Axis, list[tuple[int, int]]]]:
        """For each group of axes, at which axes of which inputs its sizes stand."""
        found = {
            axis.find(): (number, place)
            for number, value in enumerate(self.plan.inputs)
            for place, axis in enumerate(value.dims)
            if axis is not None
        }
        return [(group[0], [found[axis] for axis in group]) for group in self.plan.groups]

    def __call__(self, arrays: list[Array]) -> list[Array]:
        """The outputs, new arrays."""
        sizes = {
            axis: math.prod(arrays[number].shape[place] for number, place in places) for axis, places in self._places
        }
        memory: dict[Value, Array] = {}
        for value, array in zip(self.plan.inputs, arrays, strict=True):
            shape = tuple(sizes[axis] for axis in self.plan.dims(value)) or (1,)
            memory[value] = np.ascontiguousarray(array).reshape(shape)
        for value in self.counts:
            count = math.prod(sizes[axis] for axis in self.plan.over(value)) - value.params["correction"]
            memory[value] = np.full(1, max(count, 0), value.dtype)
        for kernel in self.kernels:
            kernel(sizes, memory)
        single = {axis: [arrays[number].shape[place] for number, place in places] for axis, places in self._places}
        by_axis = {axis: size for group in self.plan.groups for axis, size in zip(group, single[group[0]], strict=True)}
        return [
            memory[value].reshape(tuple(1 if axis is None else by_axis[axis.find()] for axis in value.dims))
            for value in self.plan.outputs
        ]


def _join(target: Value, parts: Array) -> Array:
    """The sum or maximum of what the chunks left."""
    if target.operation == "sum":
        return np.add.reduce(parts, axis=0).astype(target.dtype, copy=False)
    ranks = np.maximum.reduce(parts, axis=0)
    if target.dtype.kind != "f":
        return ranks.astype(target.dtype, copy=False)
    shift = ranks.dtype.type(ranks.itemsize * 8 - 1)
    return (ranks ^ ((ranks >> shift) & np.iinfo(ranks.dtype).max)).view(target.dtype)


def _load(source: str, name: str) -> Any:
    """The function that `source` defines. It is kept as a file, which is what Numba's cache goes by."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    path = _keep(source, digest) or f"<fused {name} {digest}>"
    space = {**NAMES, "__name__": __name__}
    exec(compile(source, path, "exec"), space)
    return space[name]


def _keep(source: str, digest: str) -> str | None:
    """The path of a file with this content in the cache; None where it cannot be written, and nothing is kept then."""
    folder = cache_folder()
    if folder is None:
        return None
    file = folder / f"fused-{digest}.py"
    try:
        if not file.exists():
            with replacing(file) as new:
                new.write_text(source, encoding="utf-8")
    except OSError:
        return None
    return str(file)
