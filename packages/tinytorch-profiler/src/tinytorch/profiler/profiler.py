"""`Profiler`: measures what runs in a with block, and answers questions about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

from tinytorch.autograd import observe_backward
from tinytorch.layers import Module
from tinytorch.optim import observe_updates
from tinytorch.tensor import handling, replacing

from . import measures
from .events import Event, Recording, Span, read, wall
from .grouping import GROUPINGS, Row, not_counted, total
from .machine import Machine, measure_machine
from .report.page import page
from .table import NARROW, rich_table, text_table
from .trace import chrome_trace
from .units import duration, short, size
from .watch import BLOCK, LIMIT, MODULE, REGION, Watch

if TYPE_CHECKING:
    from rich.table import Table

Columns: TypeAlias = Sequence[str] | None


class Profiler:
    """Measures primitives, forward and backward, and optimizers in a with block; with a `model`, its modules too.

    `with Profiler(model) as prof:` may be entered again, which adds to the measurements, and may be nested in itself or
    in another profiler. Everything is installed on entering and removed on leaving, also after an error.

    The log takes about half a kilobyte per operation. When it holds `limit` entries (operations, calls of modules,
    freed arrays) the recording ends there, and `dropped` counts the operations that are missing.

    Raises TypeError for a model that is not a Module.

    >>> from tinytorch.tensor import ones
    >>> with Profiler() as prof:
    ...     y = ones(2, 3) @ ones(3, 4)
    >>> prof.flops, [event.name for event in prof.events]
    (48, ['matmul'])
    """

    def __init__(self, model: Module | None = None, limit: int = LIMIT) -> None:
        if model is not None and not isinstance(model, Module):
            raise TypeError(f"Profiler: model is a {type(model).__name__}; it must be a Module, or left out")
        self.model = model
        self._watch = Watch(limit)
        self._depth = 0
        self._installed = ExitStack()
        self._read: tuple[tuple[int, int], Recording] | None = None
        self._machine: Machine | None = None

    # Measuring

    def __enter__(self) -> Profiler:
        if self._depth == 0:
            with ExitStack() as installing:
                installing.enter_context(handling(self._watch))
                installing.enter_context(observe_backward(self._watch.backward))
                installing.enter_context(observe_updates(self._watch.update))
                for name, module in () if self.model is None else self.model.named_modules():
                    enter, leave = self._watch.hooks(MODULE, name)
                    installing.callback(module.register_forward_pre_hook(enter).remove)
                    installing.callback(module.register_forward_hook(leave, always_call=True).remove)
                installing.enter_context(self._span(BLOCK, ""))
                self._installed = installing.pop_all()
        self._depth += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._installed.close()

    def region(self, name: str) -> AbstractContextManager[None]:
        """Name what runs in a with block, such as "data" or "optimizer", for the tables, the trace and the report."""
        return self._span(REGION, name)

    @contextmanager
    def _span(self, kind: str, name: str) -> Iterator[None]:
        enter, leave = self._watch.hooks(kind, name)
        enter()
        try:
            yield
        finally:
            leave()

    def reset(self) -> None:
        """Forget what was measured. Raises RuntimeError while measuring."""
        if self._depth:
            raise RuntimeError("reset: this profiler is measuring; leave its with block first")
        self._watch, self._read = Watch(self._watch.limit), None

    # What was measured

    @property
    def recording(self) -> Recording:
        """Events, spans and memory, read from the log when they are first needed."""
        now = length, dropped = len(self._watch.log), self._watch.dropped
        if self._read is None or self._read[0] != now:
            self._read = now, read(self._watch.log[:length], dropped)
        return self._read[1]

    @property
    def dropped(self) -> int:
        """How many operations are missing because the log was full when they ran."""
        return self._watch.dropped

    @property
    def events(self) -> list[Event]:
        """Every run of a primitive, of a gradient rule or of an optimizer, in the order in which they ended."""
        return self.recording.events

    @property
    def spans(self) -> list[Span]:
        """The blocks, modules and regions that were run."""
        return self.recording.spans

    @property
    def total_ns(self) -> int:
        """Nanoseconds in primitives, gradient rules and updates: the sum of all self times."""
        return total(self.events).self_ns

    @property
    def wall_ns(self) -> int:
        """Nanoseconds in the profiled blocks, Python between the operations included."""
        return wall(self.spans)

    @property
    def flops(self) -> int:
        """FLOPs of products (matrix products, convolutions, attention), a multiply-add as 2, forward and backward."""
        return total(self.events).flops

    @property
    def macs(self) -> int:
        """Multiply-adds of products."""
        return total(self.events).macs

    @property
    def elementwise_flops(self) -> int:
        """FLOPs of everything that is not a product."""
        return total(self.events).elementwise

    @property
    def not_counted(self) -> dict[str, int]:
        """The operators without a FLOP formula, and how often each ran; `flops_of` adds a formula."""
        return not_counted(self.events)

    @property
    def memory_timeline(self) -> list[tuple[int, int]]:
        """(time in nanoseconds, bytes alive) after each change, of operations' arrays and optimizer state."""
        return self.recording.memory

    @property
    def peak_memory(self) -> int:
        """The largest number of bytes alive at once, in `memory_timeline`."""
        return max((live for _, live in self.memory_timeline), default=0)

    @property
    def current_memory(self) -> int:
        """The bytes alive now, the last in `memory_timeline`."""
        return self.memory_timeline[-1][1] if self.memory_timeline else 0

    # Tables

    def rows(self, group_by: str = "operator") -> list[Row]:
        """The sums by "operator", "shape" (operator and input shapes), "module" or "region"."""
        if group_by not in GROUPINGS:
            raise ValueError(f"rows: group_by is {group_by!r}; it is one of {', '.join(GROUPINGS)}")
        return GROUPINGS[group_by](self.recording)

    def table(
        self, sort_by: str = "self", limit: int | None = None, group_by: str = "operator", columns: Columns = None
    ) -> str:
        """The rows as text, sorted by a column from the largest, at most `limit` of them.

        `group_by` is that of `rows`. The columns, to sort by and to choose from: name count self share total flops
        elementwise rate bytes intensity allocated peak.
        """
        rows = self._titled(self.rows(group_by))
        return f"{text_table(rows, sort_by, limit, columns)}\n{self.totals()}"

    def rich_table(
        self, sort_by: str = "self", limit: int | None = None, group_by: str = "operator", columns: Columns = NARROW
    ) -> Table:
        """The same for `rich.print`."""
        rows = self._titled(self.rows(group_by))
        return rich_table(rows, sort_by, limit, columns, f"Time by {group_by}", self.totals())

    def __rich__(self) -> Table:
        return self.rich_table()

    def totals(self) -> str:
        """Two lines with the totals."""
        counted = [
            f"{short(self.flops, 'FLOP')} in products",
            f"{short(self.elementwise_flops, 'FLOP')} elementwise",
            f"peak {size(self.peak_memory)}",
        ]
        if self.dropped:
            counted.append(f"{self.dropped:,} later operations dropped, the log is full")
        if self.not_counted:
            counted.append(f"not counted: {', '.join(sorted(self.not_counted))}")
        inside = f"{duration(self.total_ns)} in {len(self.events)} operations, {duration(self.wall_ns)} in all"
        return f"{inside}\n{'; '.join(counted)}"

    def _titled(self, rows: list[Row]) -> list[Row]:
        """The outermost module has no name of its own."""
        for row in rows:
            if not row.name:
                row.name = type(self.model).__name__
        return rows

    def __repr__(self) -> str:
        return f"<Profiler: {len(self.events)} operations>"

    # Files

    def machine(self) -> Machine:
        """The best FLOP/s and bytes/s of this machine, measured in about half a second on the first call."""
        if self._machine is None:
            self._machine = measure_machine()
        return self._machine

    def export_chrome_trace(self, path: str | PathLike[str]) -> None:
        """Write a trace that https://ui.perfetto.dev and chrome://tracing open; an existing file is replaced."""
        _write(path, chrome_trace(self.recording))

    def report(self, path: str | PathLike[str]) -> None:
        """Write one HTML page that needs no network; an existing file is replaced.

        It holds a flame graph, operators, the module tree, memory over time, and the roofline of this `machine()`.
        """
        _write(path, page(self.recording, self.model, self.machine()))

    # Questions about a model

    count_parameters = staticmethod(measures.count_parameters)
    count_flops = staticmethod(measures.count_flops)
    measure_memory = staticmethod(measures.measure_memory)
    measure_latency = staticmethod(measures.measure_latency)


def _write(path: str | PathLike[str], text: str) -> None:
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
