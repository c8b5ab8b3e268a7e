"""A graph without cycles as a picture: where its boxes stand, and how their arrows run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TypeAlias, TypeVar

V = TypeVar("V")
Stop: TypeAlias = tuple[int, int]  # a vertex (its id) in a row: its box, or the lane of its value in a row further down

HEIGHT, LANE, GAP, DROP = 34, 12, 18, 40  # of a box, of a lane, between boxes, between rows
TWICE = 24  # between the arrows of a value that an operation uses twice

STYLE = (
    "<style>.tinytorch-graph rect{stroke-width:1.2}.tinytorch-graph .op{fill:#eef2f7;stroke:#5b6b7f}"
    ".tinytorch-graph .leaf{fill:#e2f3e5;stroke:#3c8a50}.tinytorch-graph .constant{fill:#f6f6f6;stroke:#aaa}"
    ".tinytorch-graph .edge{fill:none;stroke:#8592a3;stroke-width:1.2}"
    ".tinytorch-graph text{font:12px sans-serif;text-anchor:middle;fill:#1f2933}</style>"
    '<defs><marker id="tinytorch-tip" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="6" markerHeight="6" '
    'orient="auto"><path d="M0 0L6 3L0 6z" fill="#8592a3"/></marker></defs>'
)


def draw(
    vertices: Sequence[V], sources: Mapping[V, Sequence[V]], label: Callable[[V], str], kind: Callable[[V], str]
) -> str:
    """A graph without cycles as SVG: `vertices`, users before what they use, with the `sources` of each.

    `label` gives the words in a box and `kind` how it looks: "op", "leaf" or "constant". Sources stand above what uses
    them; one that is used rows further down has a lane there.

    >>> picture = draw(["f", "x"], {"f": ["x", "x"], "x": []}, str, {"f": "op", "x": "leaf"}.get)
    >>> picture.count("<rect"), picture.count('class="edge"')
    (2, 2)
    """
    inputs = {id(vertex): sources[vertex] for vertex in vertices}
    depth = {id(vertex): 0 for vertex in vertices}  # the row of each, one further than the last of those that use it
    for vertex in vertices:
        for source in inputs[id(vertex)]:
            depth[id(source)] = max(depth[id(source)], depth[id(vertex)] + 1)
    feeds = _feeds(vertices, inputs, depth)
    width = max(150, *(7 * len(label(vertex)) + 16 for vertex in vertices))
    xs, total_x = _columns(feeds, lambda stop: width if depth[stop[0]] == stop[1] else LANE)
    last = max(depth.values())
    total_y = (last + 1) * (HEIGHT + DROP) + DROP

    def top(stop: Stop) -> int:
        return DROP + (last - stop[1]) * (HEIGHT + DROP)

    edges, boxes = [], []
    for stop, targets in feeds.items():
        start = top(stop) + HEIGHT
        for target, _ in targets:
            boxed = depth[target[0]] == target[1]
            end = top(target) - (5 if boxed else 0)
            bend = (start + end) / 2
            rest = '" marker-end="url(#tinytorch-tip)"' if boxed else f'V{end + HEIGHT}"'
            times = [id(source) for source in inputs[target[0]]].count(stop[0]) if boxed else 1
            apart = min(TWICE, (width - LANE) / times)
            for time in range(times):
                x = xs[target] + (time - (times - 1) / 2) * apart
                edges.append(
                    f'<path class="edge" d="M{xs[stop]:.0f} {start}C{xs[stop]:.0f} {bend:.0f} {x:.0f} {bend:.0f} '
                    f"{x:.0f} {end}{rest}/>"
                )
    for vertex in vertices:
        stop = id(vertex), depth[id(vertex)]
        look = kind(vertex)
        boxes.append(
            f'<rect class="{look}" x="{xs[stop] - width / 2:.0f}" y="{top(stop)}" width="{width}" height="{HEIGHT}" '
            f'rx="{6 if look == "op" else 17}"/>'
            f'<text x="{xs[stop]:.0f}" y="{top(stop) + HEIGHT / 2 + 4:.0f}">{escape(label(vertex))}</text>'
        )
    size = f'viewBox="0 0 {total_x} {total_y}" width="{total_x}" height="{total_y}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tinytorch-graph" {size}>'
        f"{STYLE}{''.join(edges)}{''.join(boxes)}</svg>"
    )


def _feeds(
    vertices: Sequence[V], inputs: dict[int, Sequence[V]], depth: dict[int, int]
) -> dict[Stop, list[tuple[Stop, int]]]:
    """Where each stop leads to in the next row towards the result, and as which of the inputs there."""
    feeds: dict[Stop, list[tuple[Stop, int]]] = {}
    nearest: dict[int, int] = {}
    for vertex in vertices:
        row = depth[id(vertex)]
        feeds.setdefault((id(vertex), row), [])
        for source in {id(source): source for source in inputs[id(vertex)]}.values():
            place = [id(each) for each in inputs[id(vertex)]].index(id(source))
            feeds.setdefault((id(source), row + 1), []).append(((id(vertex), row), place))
            nearest[id(source)] = min(nearest.get(id(source), row), row)
    for source_id, row in nearest.items():
        for between in range(row + 2, depth[source_id] + 1):
            feeds.setdefault((source_id, between), []).append(((source_id, between - 1), 0))
    return feeds


def _columns(feeds: dict[Stop, list[tuple[Stop, int]]], width: Callable[[Stop], int]) -> tuple[dict[Stop, float], int]:
    """The middle of every stop, in the order of what they lead to, and the width of the widest row."""
    rows: dict[int, list[Stop]] = {}
    for stop in feeds:
        rows.setdefault(stop[1], []).append(stop)
    xs: dict[Stop, float] = {}
    lengths = {}
    for number in sorted(rows):
        row = rows[number]
        row.sort(key=lambda stop: sum(xs[to] + place for to, place in feeds[stop]) / max(len(feeds[stop]), 1))
        lengths[number] = sum(width(stop) + GAP for stop in row) + GAP
        left = GAP - lengths[number] / 2
        for stop in row:
            xs[stop] = left + width(stop) / 2
            left += width(stop) + GAP
    total = max(lengths.values())
    return {stop: x + total / 2 for stop, x in xs.items()}, total
