"""From a log to events: what ran, when, inside what, and how much work it did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import ReferenceType

from tinytorch.tensor import Primitive

from .flops import Arithmetic, arithmetic
from .shaped import Shaped, shaped
from .traffic import traffic
from .watch import BACKWARD, BLOCK, ENTER, FORWARD, MODULE, OPERATIONS, UPDATE, Log


@dataclass(eq=False)
class Span:
    """Time in one thread, in nanoseconds; `kind` is block, module, region, forward, backward or update."""

    kind: str
    name: str
    start: int
    stop: int
    thread: int
    parent: Span | None = field(default=None, repr=False)
    self_ns: int = 0
    """Its time without that of the spans of the same nature inside it: operations in operations, modules in modules."""

    @property
    def duration(self) -> int:
        return self.stop - self.start

    def within(self, *kinds: str) -> Span | None:
        """The nearest span of these kinds around this one."""
        span = self.parent
        while span is not None and span.kind not in kinds:
            span = span.parent
        return span


@dataclass(eq=False, kw_only=True)
class Event(Span):
    """One run of a primitive's forward, of its gradient rule, or of an optimizer's update of a group."""

    primitive: Primitive | str
    """The name of the optimizer for an update."""
    inputs: tuple[Any, ...]
    """`Shaped` for arrays, scalars and None as they were."""
    params: dict[str, Any]
    output: Shaped
    needs: tuple[bool, ...] | None
    """For a backward, which inputs need a gradient; None otherwise."""
    birth: int | None
    """The number of the node that autograd recorded."""
    allocated: int
    """Bytes of new arrays: the result and what was saved, the gradients, or the state of the optimizer."""
    live: int
    """Bytes alive when it ended, of all arrays allocated while watching."""
    module: str | None = None
    """The dotted name of the module it belongs to, "" for the outermost; None outside of all modules."""
    nested: bool = False
    """Whether other operations ran inside it: then the work is counted there."""

    @property
    def label(self) -> str:
        """The operator's name, and whether this is its backward."""
        return f"{self.name} backward" if self.kind == BACKWARD else self.name

    @property
    def shapes(self) -> str:
        """The shapes of the inputs, such as `8x32, 32x32`."""
        return ", ".join(str(x) for x in self.inputs if isinstance(x, Shaped)) or "()"

    @cached_property
    def known(self) -> Arithmetic | None:
        """The operations by the formulas; None where there is no formula."""
        if self.nested:
            return Arithmetic()
        return arithmetic(self.primitive, self.output, self.inputs, self.params, self.needs)

    @property
    def work(self) -> Arithmetic:
        return self.known or Arithmetic()

    @cached_property
    def traffic(self) -> tuple[int, int]:
        """Bytes read and written."""
        if self.nested:
            return 0, 0
        if self.kind == UPDATE:  # reads the parameters, their gradients and the state; writes all but the gradients
            moved, states = sum(x.nbytes for x in self.inputs), self.params["states"]
            return (2 + states) * moved, (1 + states) * moved
        return traffic(self.primitive, self.output, self.inputs, self.allocated, self.needs is not None)


@dataclass
class Recording:
    """The content of a log."""

    events: list[Event]
    spans: list[Span]
    """Blocks, modules and regions."""
    memory: list[tuple[int, int]]
    """(time, bytes alive) after every change."""
    dropped: int = 0  # operations that ran when the log was full


def read(log: Log, dropped: int = 0) -> Recording:
    """Read a log."""
    reader = _Reader()
    for entry in log:
        if isinstance(entry, ReferenceType):
            reader.death(entry)
        elif entry[0] in OPERATIONS:
            reader.operation(*entry)
        else:
            reader.edge(*entry)
    reader.end()
    _nest([*reader.spans, *reader.events])
    _belong(reader.events)
    return Recording(reader.events, sorted(reader.spans, key=lambda span: span.start), reader.memory, dropped)


class _Reader:
    """Goes through a log entry by entry."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.spans: list[Span] = []
        self.memory: list[tuple[int, int]] = []
        self._live = self._now = 0
        self._sizes: dict[int, int] = {}  # of arrays, by the reference to them
        self._given: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}  # inputs and params, by birth of the node
        self._open: dict[int, list[Span]] = {}  # by thread

    def operation(
        self, kind: str, primitive: Primitive | str, start: int, stop: int, thread: int, inputs: Any, params: Any,
        output: Any, fresh: tuple[Any, ...], birth: int | None, needs: tuple[bool, ...] | None,
    ) -> None:  # fmt: skip
        if inputs is None and birth is not None:
            given = self._given[birth]
        else:
            given = tuple(map(shaped, inputs)), params or {}
            if birth is not None:
                self._given[birth] = given
        self._now = max(self._now, stop)
        for reference, size in zip(fresh[::2], fresh[1::2], strict=True):
            self._sizes[id(reference)] = size
            self._change(size)
        name = primitive if isinstance(primitive, str) else primitive.name
        self.events.append(
            Event(
                kind, name, start, stop, thread, primitive=primitive, inputs=given[0], params=given[1],
                output=Shaped(*output), needs=needs, birth=birth, allocated=sum(fresh[1::2]), live=self._live,
            )
        )  # fmt: skip

    def death(self, reference: Any) -> None:
        """An array was freed, some time after the latest entry."""
        self._change(-self._sizes.pop(id(reference)))

    def _change(self, size: int) -> None:
        self._live += size
        self.memory.append((self._now, self._live))

    def edge(self, edge: str, kind: str, name: str, time: int, thread: int) -> None:
        """A module, a region or a block was entered or left."""
        self._now = max(self._now, time)
        stack = self._open.setdefault(thread, [])
        if edge == ENTER:
            stack.append(Span(kind, name, time, time, thread))
        elif any((span.kind, span.name) == (kind, name) for span in stack):
            self._close(stack, time, kind, name)

    def _close(self, stack: list[Span], time: int, kind: str, name: str) -> None:
        """Leave the innermost span of that name, and what is open inside it."""
        while True:
            span = stack.pop()
            span.stop = time
            self.spans.append(span)
            if (span.kind, span.name) == (kind, name):
                return

    def end(self) -> None:
        """Spans that are still open end with the latest entry."""
        for stack in self._open.values():
            for span in stack:
                span.stop = self._now
                self.spans.append(span)


def _nest(spans: Iterable[Span]) -> None:
    """Find the parent of each span, and its self time."""
    stacks: dict[int, list[Span]] = {}
    natures = dict.fromkeys(OPERATIONS, OPERATIONS)
    for span in sorted(spans, key=lambda span: (span.start, -span.stop)):
        stack = stacks.setdefault(span.thread, [])
        while stack and stack[-1].stop < span.stop:
            stack.pop()
        span.parent = stack[-1] if stack else None
        span.self_ns = span.duration
        stack.append(span)
        around = span.within(*natures.get(span.kind, (span.kind,)))
        if around is not None:
            around.self_ns -= span.duration
            if isinstance(around, Event):
                around.nested = True


def _belong(events: list[Event]) -> None:
    """Find the module of each event: where it ran, or for a backward where its forward ran."""
    homes: dict[int, str | None] = {}
    for event in events:
        if event.kind == FORWARD:
            module = event.within(MODULE)
            event.module = None if module is None else module.name
            if event.birth is not None:
                homes[event.birth] = event.module
    for event in events:
        if event.kind == BACKWARD and event.birth is not None:
            event.module = homes.get(event.birth)
    for event in events:  # what runs inside a backward is part of it
        rule = event.within(BACKWARD)
        if event.kind == FORWARD and isinstance(rule, Event):
            event.module = rule.module


def wall(spans: Iterable[Span]) -> int:
    """Nanoseconds spent inside profiled blocks."""
    return sum(span.duration for span in spans if span.kind == BLOCK and span.within(BLOCK) is None)
