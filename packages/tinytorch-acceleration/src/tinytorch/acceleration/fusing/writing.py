"""Writing the Python of one sweep, which Numba compiles: a loop over rows and, within, loops over columns.

A row is read, computed and written while it is in the cache. Where it needs a sum or maximum of itself first, as in a
softmax, several loops go over it, and what is expensive and used twice is kept in a buffer of one row.
"""

from __future__ import annotations

import math
from typing import Any

from .elements import ELEMENTWISE, EXPENSIVE, common_dtype
from .graph import Value
from .planning import Plan, Sweep


def literal(number: Any, dtype: str) -> str:
    """A Python number as it is written in `dtype`."""
    if dtype == "bool_":
        return repr(bool(number))
    if isinstance(number, float) and not math.isfinite(number):
        return f"{dtype}({'np.nan' if number != number else 'np.inf' if number > 0 else '-np.inf'})"
    return f"{dtype}({number!r})"


def type_name(dtype: Any) -> str:
    """What a dtype is called in the program."""
    return "bool_" if dtype.kind == "b" else str(dtype.name)


def cast(code: str, source: str, target: str) -> str:
    """An expression in another dtype."""
    if source == target:
        return code
    return f"({code} != {source}(0))" if target == "bool_" else f"{target}({code})"


def expression(value: Value) -> str:
    """The right-hand side for an elementwise value."""
    own = type_name(value.dtype)
    if value.operation == "same":
        return cast(f"v{value.values[0].number}", type_name(value.values[0].dtype), own)
    if value.operation == "constant":
        return literal(value.inputs[0], own)
    dtypes = [each.dtype if isinstance(each, Value) else each for each in value.inputs]
    dtype = type_name(common_dtype(value.operation, dtypes))
    inputs = []
    for place, each in enumerate(value.inputs):
        wanted = "bool_" if value.operation == "where" and place == 0 else dtype
        if isinstance(each, Value):
            inputs.append(cast(f"v{each.number}", type_name(each.dtype), wanted))
        else:
            inputs.append(literal(each, wanted))
    own_params = value.primitive is not None and value.primitive.name == value.operation != "astype"
    code = ELEMENTWISE[value.operation](dtype, *inputs, **(value.params if own_params else {}))
    if value.dtype.kind == "b":
        return cast(f"({code})", dtype, "bool_") if value.operation in ("astype", "where") else code
    return f"{own}({code})"


class Writer:
    """Writes one sweep: `lines` of a function of a chunk's number k, the number of chunks, sizes and arrays."""

    def __init__(self, plan: Plan, sweep: Sweep) -> None:
        self.plan, self.sweep = plan, sweep
        self.rows, self.column = sweep.over[:-1], sweep.over[-1] if sweep.over else None
        self.values = plan.within(plan.work(target) for target in sweep.targets)
        self.leaves = [value for value in self.values if plan.leaf(value)]
        self.place = {axis: place for place, axis in enumerate(sweep.over)}
        self.stage = self._stages()
        self.buffered: set[Value] = set()
        self.loops = self._loops()
        self.lines: list[str] = []

    def _stages(self) -> dict[Value, int]:
        """How many sums and maxima of the row must be known before a value is."""
        stage: dict[Value, int] = {}
        for value in self.values:
            before = [stage[each] for each in value.values] if not self.plan.leaf(value) else []
            stage[value] = max(before, default=0) + self.plan.in_row(value)
        return stage

    def across_columns(self, value: Value) -> bool:
        """Whether a value differs from column to column."""
        return self.column in self.plan.varies(value)

    def wide(self, target: Value) -> bool:
        """Whether a target is added to or stored at every column."""
        return self.column is not None and self.column in self.plan.dims(self.plan.work(target))

    def _loops(self) -> list[list[Value]]:
        """For each loop over the columns, the values that it computes; finds out which are buffered."""
        loops: list[list[Value]] = []
        first: dict[Value, int] = {}
        for number in range(max(self.stage.values(), default=0) + 1):
            loop: set[Value] = set()
            waiting = [value.values[0] for value in self._sums(number)]
            waiting += [self.plan.work(target) for target in self._wide_targets(number)]
            while waiting:
                value = waiting.pop()
                if value in loop or not self.across_columns(value):
                    continue
                loop.add(value)
                if first.setdefault(value, number) < number and value.operation in EXPENSIVE:
                    self.buffered.add(value)
                elif not self.plan.leaf(value):
                    waiting.extend(value.values)
            loops.append(sorted(loop, key=lambda value: value.number))
        self.first = first
        return loops

    def _sums(self, stage: int) -> list[Value]:
        """The sums and maxima of the row that the loop of this stage computes."""
        return [v for v in self.values if self.plan.in_row(v) and self.stage[v] == stage + 1]

    def _wide_targets(self, stage: int) -> list[Value]:
        return [t for t in self.sweep.targets if self.wide(t) and self.stage[self.plan.work(t)] == stage]

    def source(self, name: str) -> str:
        """The program of the sweep: a function that computes one chunk of the rows."""
        sizes = [f"n{place}" for place in range(len(self.sweep.over))]
        arrays = [f"a{value.number}" for value in self.leaves] + [f"o{value.number}" for value in self.sweep.targets]
        names = ", ".join(["chunks", *sizes, *arrays])
        self.lines = [f"def {name}(chunk, {names}):"]
        self._write_body(sizes)
        return "\n".join([*self.lines, ""])

    def emit(self, depth: int, *lines: str) -> None:
        """Add lines at a depth of indentation."""
        self.lines += ["    " * depth + line for line in lines]

    def _write_body(self, sizes: list[str]) -> None:
        depth = 1
        if self.rows:
            rows = " * ".join(sizes[:-1])
            self.emit(1, f"rows, n = {rows}, {sizes[-1]}")
        elif self.column is not None:
            self.emit(1, f"low, high = {sizes[0]} * chunk // chunks, {sizes[0]} * (chunk + 1) // chunks")
            self.emit(1, "n = high - low")
        for value in sorted(self.buffered, key=lambda value: value.number):
            self.emit(1, f"b{value.number} = np.empty(n, {type_name(value.dtype)})")
        if self.rows:
            self.emit(1, "for row in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):")
            depth = 2
            rest = "row"
            for place in range(len(self.rows) - 1, 0, -1):
                self.emit(2, f"i{place} = {rest} % n{place}", f"rest{place} = {rest} // n{place}")
                rest = f"rest{place}"
            self.emit(2, f"i0 = {rest}")
        for value in self.leaves:
            self._open(depth, f"a{value.number}", value, read=True)
        for target in self.sweep.targets:
            self._open(depth, f"o{target.number}", target, read=False)
        for stage, loop in enumerate(self.loops):
            self._write_row(depth, stage)
            self._write_loop(depth, stage, loop)

    def index(self, value: Value) -> list[str]:
        """Where the row stands in the array of a value."""
        return [f"i{self.place[axis]}" for axis in self.plan.dims(value) if axis != self.column]

    def _open(self, depth: int, name: str, value: Value, read: bool) -> None:
        """The row of an array: a view where it has columns, else the number."""
        index = self.index(value)
        if not read and self.plan.across(value):
            index = ["chunk", *index]
        at = f"[{', '.join(index)}]" if index else ""
        if self.column in self.plan.dims(value):
            part = "" if self.rows else "[low:high]"
            self.emit(depth, f"{name}_row = {name}{at}{part}")
        elif read:
            self.emit(depth, f"v{value.number} = {name}{at or '[0]'}")

    def _write_row(self, depth: int, stage: int) -> None:
        """What is computed once per row, before the loop of a stage."""
        for value in self.values:
            if self.stage[value] != stage or self.plan.leaf(value):
                continue
            if self.plan.in_row(value):
                self.emit(depth, f"v{value.number} = {finished(value)}")
            elif not self.across_columns(value):
                self.emit(depth, f"v{value.number} = {expression(value)}")
        for target in self.sweep.targets:
            work = self.plan.work(target)
            if self.stage[work] == stage and not self.wide(target):
                self._store_row(depth, target, f"v{work.number}")

    def _store_row(self, depth: int, target: Value, code: str) -> None:
        if self.plan.across(target):
            at = f"o{target.number}[{', '.join(['chunk', *(self.index(target) or ['0'])])}]"
            self.emit(depth, f"{at} = {added(target, at, code)}")
        else:
            self.emit(depth, f"o{target.number}[{', '.join(self.index(target)) or '0'}] = {code}")

    def _write_loop(self, depth: int, stage: int, loop: list[Value]) -> None:
        sums, targets = self._sums(stage), self._wide_targets(stage)
        if not sums and not targets:
            return
        over_columns = [t for t in targets if self.plan.across(t) and self.column in self.plan.over(t)]
        for value in (*sums, *over_columns):
            self.emit(depth, f"s{value.number} = {start(value)}")
        self.emit(depth, "for j in range(n):")
        for value in loop:
            if self.plan.leaf(value):
                self.emit(depth + 1, f"v{value.number} = a{value.number}_row[j]")
            elif value in self.buffered and self.first[value] < stage:
                self.emit(depth + 1, f"v{value.number} = b{value.number}[j]")
            else:
                self.emit(depth + 1, f"v{value.number} = {expression(value)}")
                if value in self.buffered:
                    self.emit(depth + 1, f"b{value.number}[j] = v{value.number}")
        for value in (*sums, *over_columns):
            work = value.values[0]
            self.emit(depth + 1, f"s{value.number} = {added(value, f's{value.number}', f'v{work.number}')}")
        for target in targets:
            name, code = f"o{target.number}_row[j]", f"v{self.plan.work(target).number}"
            if not self.plan.across(target):
                self.emit(depth + 1, f"{name} = {code}")
            elif target not in over_columns:
                self.emit(depth + 1, f"{name} = {added(target, name, code)}")
        for target in over_columns:
            at = f"o{target.number}[{', '.join(['chunk', *(self.index(target) or ['0'])])}]"
            self.emit(depth, f"{at} = {joined(target, at, f's{target.number}')}")


def start(value: Value) -> str:
    """What a sum or maximum begins with."""
    if value.operation == "sum":
        return "0.0" if value.dtype.kind == "f" else "int64(0)"
    return "lowest32" if accumulator(value) == "int32" else "lowest64"


def accumulator(value: Value) -> str:
    """What a sum or maximum is collected in: sums in float64, and maxima as ranks, which are integers."""
    if value.operation == "sum":
        return "float64" if value.dtype.kind == "f" else "int64"
    return "int32" if value.dtype.name == "float32" else "int64"


def added(value: Value, total: str, code: str) -> str:
    """A sum or maximum with one more element."""
    dtype = value.values[0].dtype
    if value.operation == "sum":
        return f"plus({total}, {cast(code, type_name(dtype), accumulator(value))})"
    rank = {"float32": f"rank32({code})", "float64": f"rank64({code})"}.get(dtype.name, f"int64({code})")
    return f"max({total}, {rank})"


def joined(value: Value, total: str, part: str) -> str:
    """A sum or maximum with one of other elements."""
    return f"plus({total}, {part})" if value.operation == "sum" else f"max({total}, {part})"


def finished(value: Value) -> str:
    """The value of a sum or maximum of a row, from what it was collected in."""
    name = f"s{value.number}"
    own = type_name(value.dtype)
    if value.operation == "max" and value.dtype.kind == "f":
        return f"value32({name})" if own == "float32" else f"value64({name})"
    return f"{own}({name})"
