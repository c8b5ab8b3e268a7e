"""Events added up: by operator, by input shapes, by module, by region."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from .events import Event, Recording, Span
from .watch import MODULE, OPERATIONS, REGION

S = TypeVar("S", bound=Span)
OUTSIDE = "(outside)"


@dataclass
class Row:
    """The sums of a group. Times are in nanoseconds, memory is in bytes."""

    name: str
    kind: str = ""
    """That of its first event: forward, backward or update."""
    count: int = 0
    self_ns: int = 0
    total_ns: int = 0
    flops: int = 0
    """Of products: matrix products, convolutions, attention. A multiply-add is 2."""
    elementwise: int = 0
    read: int = 0
    written: int = 0
    allocated: int = 0
    peak: int = 0
    """The most bytes alive at the end of one of its operations."""

    @property
    def macs(self) -> int:
        """Multiply-adds of products."""
        return self.flops // 2

    @property
    def intensity(self) -> float:
        """Operations on numbers per byte moved; 0 where nothing moves."""
        moved = self.read + self.written
        return (self.flops + self.elementwise) / moved if moved else 0.0

    @property
    def rate(self) -> float:
        """Operations on numbers per second of self time."""
        return (self.flops + self.elementwise) / self.self_ns * 1e9 if self.self_ns else 0.0

    def add(self, event: Event) -> None:
        """Add the work and memory of an event; the groupings add the times."""
        work, (read, written) = event.work, event.traffic
        self.flops += work.products
        self.elementwise += work.elementwise
        self.read += read
        self.written += written
        self.allocated += event.allocated
        self.peak = max(self.peak, event.live)


def by(events: Iterable[Event], key: Callable[[Event], str]) -> list[Row]:
    """One row per key."""
    rows: dict[str, Row] = {}
    for event in events:
        name = key(event)
        row = rows.setdefault(name, Row(name, event.kind))
        row.count += 1
        row.self_ns += event.self_ns
        row.total_ns += 0 if _repeats(event, key, *OPERATIONS) else event.duration
        row.add(event)
    return list(rows.values())


def total(events: Iterable[Event]) -> Row:
    """Everything in one row."""
    return next(iter(by(events, lambda event: "")), Row(""))


def not_counted(events: Iterable[Event]) -> dict[str, int]:
    """The operators without a FLOP formula, and how often they ran."""
    return dict(Counter(event.label for event in events if event.known is None))


def by_operator(recording: Recording) -> list[Row]:
    return by(recording.events, lambda event: event.label)


def by_shape(recording: Recording) -> list[Row]:
    return by(recording.events, lambda event: f"{event.label} {event.shapes}")


def by_region(recording: Recording) -> list[Row]:
    """Regions, and what lies outside of all; total is the time of the region itself, self that of its operations."""

    def key(event: Event) -> str:
        region = event.within(REGION)
        return OUTSIDE if region is None else region.name

    rows = {row.name: row for row in by(recording.events, key)}
    for row in rows.values():
        row.total_ns = row.total_ns if row.name == OUTSIDE else 0
    for span in recording.spans:
        if span.kind == REGION:
            row = rows.setdefault(span.name, Row(span.name))
            row.total_ns += 0 if _repeats(span, lambda each: each.name, REGION) else span.duration
    return list(rows.values())


def _repeats(span: S, key: Callable[[S], str], *kinds: str) -> bool:
    """Whether it lies, as one of these kinds, within another one with its key."""
    around: Any = span.within(*kinds)
    while around is not None and key(around) != key(span):
        around = around.within(*kinds)
    return around is not None


def by_module(recording: Recording) -> list[Row]:
    """Modules: self is without submodules and their backward, total includes all submodules.

    The time of a module is that of its forward, Python included, and of the gradient rules of what ran in it.
    """
    rows: dict[str, Row] = {}
    for span in recording.spans:
        if span.kind == MODULE:
            row = rows.setdefault(span.name, Row(span.name))
            row.count += 1
            row.self_ns += span.self_ns
    outside = Row(OUTSIDE)
    for event in recording.events:
        row = outside if event.module is None else rows.setdefault(event.module, Row(event.module))
        row.add(event)
        if event.module is None:
            outside.count += 1
        if event.module is None or event.within(MODULE) is None:
            row.self_ns += event.self_ns
    for name, row in rows.items():
        row.total_ns = sum(other.self_ns for other in rows.values() if inside(other.name, name))
    outside.total_ns = outside.self_ns
    return [*rows.values(), outside] if outside.count else list(rows.values())


def inside(name: str, module: str) -> bool:
    """Whether `name` is `module` or a part of it.

    >>> inside("blocks.0.attention", "blocks.0"), inside("blocks.10", "blocks.1"), inside("head", "")
    (True, False, True)
    """
    return module in ("", name) or name.startswith(f"{module}.")


GROUPINGS = {"operator": by_operator, "shape": by_shape, "module": by_module, "region": by_region}
