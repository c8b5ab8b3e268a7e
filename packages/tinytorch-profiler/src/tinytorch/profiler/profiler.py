"""`Profiler`: measures what runs in a with block, and answers questions about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from os import PathLike

from rich.table import Table

from tinytorch.autograd import observe_backward
from tinytorch.layers import Module
from tinytorch.tensor import handling

from . import measures
from .events import Event, Recording, Span, read, wall
from .files import write_text
from .grouping import Row, by_module, by_operator, by_region, by_shape
from .machine import Machine, measure_machine
from .report import page
from .table import NARROW, rich_table, text_table
from .trace import chrome_trace
from .units import duration, short, size
from .watch import BLOCK, MODULE, REGION, Watch


class Profiler:
    """Measures every primitive that runs in a with block, forward and backward; with a `model`, its modules too.

    `with Profiler(model) as prof:` may be entered again, which adds to what was measured, and inside itself or another
    profiler. Everything is installed on entering and removed on leaving, whatever happens in between.

    Raises TypeError for a model that is not a Module.

    >>> from tinytorch.tensor import ones
    >>> with Profiler() as prof:
    ...     y = ones(2, 3) @ ones(3, 4)
    >>> prof.flops, [event.name for event in prof.events]
    (48, ['matmul'])
    """

    def __init__(self, model: Module | None = None) -> None:
        if model is not None and not isinstance(model, Module):
            raise TypeError(f"Profiler: model is a {type(model).__name__}; it must be a Module, or left out")
        self.model = model
        self._watch = Watch()
        self._depth = 0
        self._installed = ExitStack()
        self._read: tuple[int, Recording] | None = None
        self._machine: Machine | None = None

    # Measuring

    def __enter__(self) -> Profiler:
        if self._depth == 0:
            with ExitStack() as installing:
                installing.enter_context(handling(self._watch))
                installing.enter_context(observe_backward(self._watch.backward))
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
        self._watch, self._read = Watch(), None

    # What was measured

    @property
    def recording(self) -> Recording:
        """Events, spans and memory, made from the log when first asked for."""
        length = len(self._watch.log)
        if self._read is None or self._read[0] != length:
            self._read = length, read(self._watch.log[:length])
        return self._read[1]

    @property
    def events(self) -> list[Event]:
        """Every run of a primitive or of a gradient rule, in the order in which they ended."""
        return self.recording.events

    @property
    def spans(self) -> list[Span]:
        """The blocks, modules and regions that were run."""
        return self.recording.spans

    @property
    def total_ns(self) -> int:
        """Nanoseconds in primitives and gradient rules: the sum of all self times."""
        return sum(event.self_ns for event in self.events)

    @property
    def wall_ns(self) -> int:
        """Nanoseconds in the profiled blocks, Python between the operations included."""
        return wall(self.spans)

    @property
    def flops(self) -> int:
        """FLOPs of products (matrix products, convolutions, attention), a multiply-add as 2, forward and backward."""
        return sum(event.work.products for event in self.events)

    @property
    def macs(self) -> int:
        """Multiply-adds of products."""
        return self.flops // 2

    @property
    def elementwise_flops(self) -> int:
        """FLOPs of everything that is not a product."""
        return sum(event.work.elementwise for event in self.events)

    @property
    def not_counted(self) -> dict[str, int]:
        """The operators that no FLOP formula is known of, with how often they ran; `flops_of` gives them one."""
        return {row.name: row.count for row in by_operator([event for event in self.events if event.known is None])}

    @property
    def memory_timeline(self) -> list[tuple[int, int]]:
        """(time in nanoseconds, bytes alive) after each change, of the arrays that primitives and rules made."""
        return self.recording.memory

    @property
    def peak_memory(self) -> int:
        """The most bytes that were alive at once, of the arrays that primitives and rules made."""
        return max((live for _, live in self.memory_timeline), default=0)

    @property
    def current_memory(self) -> int:
        """The bytes that are alive now, of the arrays that primitives and rules made."""
        return self.memory_timeline[-1][1] if self.memory_timeline else 0

    # Tables

    def rows(self, group_by: str = "operator") -> list[Row]:
        """The sums by "operator", "shape" (operator and input shapes), "module" or "region"."""
        grouped = {
            "operator": lambda: by_operator(self.events),
            "shape": lambda: by_shape(self.events),
            "module": lambda: by_module(self.recording),
            "region": lambda: by_region(self.recording),
        }
        if group_by not in grouped:
            raise ValueError(f"rows: group_by is {group_by!r}; it is one of {', '.join(grouped)}")
        return grouped[group_by]()

    def table(
        self,
        sort_by: str = "self",
        limit: int | None = None,
        group_by: str = "operator",
        columns: Sequence[str] | None = None,
    ) -> str:
        """The rows as text, the largest of a column first, the first `limit` of them.

        `group_by` is that of `rows`. Columns, to sort by and to choose: name count self share total flops elementwise
        rate bytes intensity allocated peak.
        """
        rows = self._titled(self.rows(group_by))
        return f"{text_table(rows, sort_by, limit, columns)}\n{self.totals()}"

    def rich_table(
        self,
        sort_by: str = "self",
        limit: int | None = None,
        group_by: str = "operator",
        columns: Sequence[str] | None = NARROW,
    ) -> Table:
        """The same for `rich.print`."""
        rows = self._titled(self.rows(group_by))
        return rich_table(rows, sort_by, limit, columns, f"Time by {group_by}", self.totals())

    def __rich__(self) -> Table:
        return self.rich_table()

    def totals(self) -> str:
        """Two lines that sum it up."""
        counted = [
            f"{short(self.flops, 'FLOP')} in products",
            f"{short(self.elementwise_flops, 'FLOP')} elementwise",
            f"peak {size(self.peak_memory)}",
        ]
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
        """The best FLOP/s and bytes/s of this machine, measured in about half a second when first asked for."""
        if self._machine is None:
            self._machine = measure_machine()
        return self._machine

    def export_chrome_trace(self, path: str | PathLike[str]) -> None:
        """Write a trace that https://ui.perfetto.dev and chrome://tracing open; an existing file is replaced."""
        write_text(path, chrome_trace(self.recording))

    def report(self, path: str | PathLike[str]) -> None:
        """Write one HTML page that needs no network; an existing file is replaced.

        It holds a flame graph, operators, the module tree, memory over time, and the roofline of this `machine()`.
        """
        write_text(path, page(self, self.machine()))

    # Questions about a model

    count_parameters = staticmethod(measures.count_parameters)
    count_flops = staticmethod(measures.count_flops)
    measure_memory = staticmethod(measures.measure_memory)
    measure_latency = staticmethod(measures.measure_latency)
