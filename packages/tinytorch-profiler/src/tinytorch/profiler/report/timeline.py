"""Memory over time, with a strip that says whether the forward, the backward or an update ran."""

from __future__ import annotations

from ..events import Recording
from ..units import duration, size
from ..watch import BACKWARD
from . import svg

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 1100.0, 230.0, 74.0, 40.0, 14.0
BINS = 900  # about as many as there are pixels


def timeline(recording: Recording) -> str:
    """The bytes alive as a filled curve, above a strip that shows forward, backward and update."""
    memory = recording.memory
    begin = min([span.start for span in (*recording.spans, *recording.events)], default=0)
    end = max([span.stop for span in (*recording.spans, *recording.events)], default=1)
    peak_at, peak = max(memory, key=lambda point: point[1], default=(begin, 0))
    length, top = max(end - begin, 1), max(peak, 1)

    def x(time: float) -> float:
        return LEFT + (time - begin) / length * (WIDTH - LEFT - 10)

    def y(live: float) -> float:
        return TOP + (1 - live / top) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for value in svg.ticks(top, base=2):
        parts += [
            svg.line(LEFT, y(value), WIDTH - 10, y(value), "grid"),
            svg.text(LEFT - 8, y(value) + 4, size(value), "end"),
        ]
    for value in svg.ticks(length, 6):
        parts.append(svg.text(x(begin + value), HEIGHT - 6, duration(value), "middle"))
    path, level = [f"M{x(begin):.1f},{y(0):.1f}"], 0
    for time, live in _thinned(memory, begin, length):
        path.append(f"L{x(time):.1f},{y(level):.1f}L{x(time):.1f},{y(live):.1f}")
        level = live
    path.append(f"L{x(end):.1f},{y(level):.1f}L{x(end):.1f},{y(0):.1f}Z")
    parts.append(f'<path class="area" d="{"".join(path)}"/>')
    strip = HEIGHT - BOTTOM + 6
    for kind, start, stop in _phases(recording):
        width = max(x(stop) - x(start), 0.4)
        parts.append(f'<rect class="{kind}" x="{x(start):.1f}" y="{strip}" width="{width:.1f}" height="8"/>')
    if peak:
        aside, anchor = (-9, "end") if x(peak_at) > WIDTH - 170 else (9, "start")
        parts.append(f'<circle class="peak" cx="{x(peak_at):.1f}" cy="{y(peak):.1f}" r="4"/>')
        parts.append(svg.text(x(peak_at) + aside, y(peak) + 5, f"peak {size(peak)}", anchor, "note"))
    return svg.picture(WIDTH, HEIGHT, f"Memory over time, at most {size(peak)}", parts)


def _thinned(memory: list[tuple[int, int]], begin: int, length: int) -> list[tuple[int, int]]:
    """Of the changes that fall on one pixel the highest and the last."""
    bins: dict[int, list[tuple[int, int]]] = {}
    for point in memory:
        bins.setdefault((point[0] - begin) * BINS // length, []).append(point)
    return [each for points in bins.values() for each in (max(points, key=lambda point: point[1]), points[-1])]


def _phases(recording: Recording) -> list[tuple[str, int, int]]:
    """From where to where operations of one kind ran without another kind in between."""
    found: list[tuple[str, int, int]] = []
    for event in sorted(recording.events, key=lambda event: event.start):
        if event.within(BACKWARD):
            continue
        if found and found[-1][0] == event.kind:
            found[-1] = (event.kind, found[-1][1], max(found[-1][2], event.stop))
        else:
            found.append((event.kind, event.start, event.stop))
    return found
