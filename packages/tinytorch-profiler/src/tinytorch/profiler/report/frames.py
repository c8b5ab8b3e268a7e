"""Time as nested frames: region, phase (forward, backward or update), modules, operator."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..events import Event, Recording, Span, wall
from ..grouping import inside
from ..watch import BACKWARD, FORWARD, MODULE, REGION


@dataclass
class Frame:
    """Time that went to one place, and to the places inside it."""

    name: str
    kind: str
    """root, region, phase, module, forward, backward or update; the last three are operators."""
    own_ns: int = 0
    count: int = 0
    children: dict[tuple[str, str], Frame] = field(default_factory=dict)

    @property
    def total_ns(self) -> int:
        return self.own_ns + sum(child.total_ns for child in self.children.values())

    @property
    def depth(self) -> int:
        """How many frames are stacked, this one included."""
        return 1 + max((child.depth for child in self.children.values()), default=0)

    def at(self, path: list[tuple[str, str]]) -> Frame:
        """The frame at the end of a path of (kind, name), made where it is missing."""
        frame = self
        for kind, name in path:
            frame = frame.children.setdefault((kind, name), Frame(name, kind))
        return frame


def frames(recording: Recording, model: str) -> Frame:
    """All time in the profiled blocks; what is in no frame below the root is Python outside of operations."""
    root = Frame("everything", "root", count=1)
    called = {span.name for span in recording.spans if span.kind == MODULE}
    inner: Counter[Span | None] = Counter()  # of a region or module, the time that belongs to what lies inside
    for event in recording.events:
        phase = BACKWARD if event.within(BACKWARD) else event.kind
        operator = (phase, event.name)
        frame = root.at([*_regions(event), ("phase", phase), *_modules(event.module, called, model), operator])
        frame.own_ns += event.self_ns
        frame.count += 1
        inner[event.within(MODULE, REGION)] += event.self_ns
    held = [span for span in recording.spans if span.kind in (MODULE, REGION)]
    for span in held:
        inner[span.within(MODULE, REGION)] += span.duration
    for span in held:
        path = [("region", span.name)]
        if span.kind == MODULE:
            path = [("phase", FORWARD), *_modules(span.name, called, model)]
        frame = root.at([*_regions(span), *path])
        frame.own_ns += max(0, span.duration - inner[span])
        frame.count += 1
    root.own_ns = max(0, wall(recording.spans) - root.total_ns)
    return root


def _regions(span: Event | Span) -> list[tuple[str, str]]:
    names: list[tuple[str, str]] = []
    around = span.within(REGION)
    while around is not None:
        names.insert(0, ("region", around.name))
        around = around.within(REGION)
    return names


def _modules(module: str | None, called: set[str], model: str) -> list[tuple[str, str]]:
    """The modules from the outermost one to this, each by what its name adds to the one before."""
    if module is None:
        return []
    names: list[tuple[str, str]] = []
    before = ""
    for name in sorted((name for name in called if inside(module, name)), key=len):
        names.append(("module", name.removeprefix(before).lstrip(".") or model))
        before = name
    return names
