"""The few shapes that the pictures are drawn with."""

from __future__ import annotations

import math
from html import escape


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def picture(width: float, height: float, label: str, parts: list[str]) -> str:
    """A drawing that scales with the page; `label` is what it shows, in words."""
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="group" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def ticks(largest: float, count: int = 4, base: float = 10) -> list[float]:
    """Round numbers from 0 up to `largest`: multiples of 1, 2 or 5 times a power of 10, or of a power of 2.

    >>> ticks(87), ticks(100, base=2)
    ([0, 20, 40, 60, 80], [0, 32, 64, 96])
    """
    if largest <= 0:
        return [0]
    rough = largest / count
    power = base ** math.floor(math.log(rough, base))
    step = power * next(m for m in ((1, 2) if base == 2 else (1, 2, 5, 10)) if m * power >= rough * 0.7)
    return [0, *(step * k for k in range(1, int(largest / step) + 1))]
