"""The flame graph: each frame as wide as its time, above what it is made of."""

from __future__ import annotations

from html import escape

from ..units import duration
from .frames import Frame

ROW = 22
NARROWEST = 2e-4  # of the width: what is narrower cannot be seen


def flame(root: Frame) -> str:
    """The frames as boxes, side by side in the order in which they came first; a click on one widens it."""
    whole = max(root.total_ns, 1)
    boxes: list[str] = []
    _place(root, 0.0, 0, whole, boxes)
    return f'<div class="flame" style="height:{root.depth * ROW}px">{"".join(boxes)}</div>'


def _place(frame: Frame, left: float, row: int, whole: int, boxes: list[str]) -> None:
    width = frame.total_ns / whole
    if width < NARROWEST:
        return
    times = f", {frame.count} calls" if frame.count > 1 else ""
    own = f", {duration(frame.own_ns)} its own" if frame.children else ""
    tip = f"{frame.name}: {duration(frame.total_ns)} ({width:.1%}){own}{times}"
    boxes.append(
        f'<div class="{frame.kind}" data-x="{left:.6f}" data-w="{width:.6f}" title="{escape(tip)}" '
        f'style="left:{left:.4%};width:{width:.4%};top:{row * ROW}px"><span>{escape(frame.name)}</span></div>'
    )
    for child in frame.children.values():
        _place(child, left, row + 1, whole, boxes)
        left += child.total_ns / whole
