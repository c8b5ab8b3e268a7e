"""The roofline: what each operator reaches, below what the machine allows at its arithmetic intensity.

Source: Williams, Waterman, Patterson 2009, Roofline: an insightful visual performance model.
"""

from __future__ import annotations

import math
from html import escape

from ..grouping import Row
from ..machine import Machine
from ..units import duration, short
from . import svg

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1100.0, 440.0, 74.0, 20.0, 16.0, 46.0
NAMED = 12  # points that carry their name: those that took most time


def roofline(rows: list[Row], machine: Machine) -> str:
    """One point per operator that computes and moves something; both axes are logarithmic."""
    points = sorted((row for row in rows if row.rate and row.intensity), key=lambda row: -row.self_ns)
    total = sum(row.self_ns for row in rows) or 1
    ridge = machine.peak / machine.bandwidth
    x_low, x_high = _decades([row.intensity for row in points] + [ridge / 4, ridge * 8])
    y_low, y_high = _decades([row.rate for row in points] + [machine.peak])[0], math.log10(machine.peak * 1.8)

    def x(intensity: float) -> float:
        return LEFT + (math.log10(intensity) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y(rate: float) -> float:
        return TOP + (y_high - math.log10(rate)) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for power in range(x_low, x_high + 1):
        parts.append(svg.line(x(10.0**power), TOP, x(10.0**power), HEIGHT - BOTTOM, "grid"))
        parts.append(svg.text(x(10.0**power), HEIGHT - BOTTOM + 18, f"{10.0**power:g}", "middle"))
    for power in range(y_low, math.floor(y_high) + 1):
        parts.append(svg.line(LEFT, y(10.0**power), WIDTH - RIGHT, y(10.0**power), "grid"))
        parts.append(svg.text(LEFT - 8, y(10.0**power) + 4, short(10.0**power), "end"))
    parts.append(svg.text((LEFT + WIDTH) / 2, HEIGHT - 6, "arithmetic intensity (FLOP per byte)", "middle"))
    start = max(10.0**x_low, 10.0**y_low / machine.bandwidth)
    corners = [(start, machine.roof(start)), (ridge, machine.peak), (10.0**x_high, machine.peak)]
    parts.append(f'<polyline class="roof" points="{" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in corners)}"/>')
    parts.append(svg.text(WIDTH - RIGHT - 6, y(machine.peak) - 7, short(machine.peak, "FLOP/s"), "end", "note"))
    middle = math.sqrt(start * ridge)
    parts.append(svg.text(x(middle) - 10, y(machine.roof(middle)) - 8, short(machine.bandwidth, "B/s"), "end", "note"))
    taken = [(x(row.intensity) - 6, x(row.intensity) + 6, y(row.rate)) for row in points]
    for place, row in enumerate(points):
        radius = 3.5 + 14 * math.sqrt(row.self_ns / total)
        share = row.rate / machine.roof(row.intensity)
        tip = (
            f"{row.name}: {short(row.rate, 'FLOP/s')}, {share:.0%} of the roof "
            f"at {row.intensity:.2f} FLOP per byte, {duration(row.self_ns)}"
        )
        parts.append(
            f'<circle class="{row.kind}" cx="{x(row.intensity):.1f}" cy="{y(row.rate):.1f}" r="{radius:.1f}" '
            f'tabindex="0" role="img" aria-label="{escape(tip)}"><title>{escape(tip)}</title></circle>'
        )
        if place < NAMED:
            parts.append(_label(x(row.intensity), y(row.rate), radius, row.name, taken))
    return svg.picture(WIDTH, HEIGHT, "Operators below the roofline of this machine", parts)


def _decades(values: list[float]) -> tuple[int, int]:
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def _label(x: float, y: float, radius: float, name: str, taken: list[tuple[float, float, float]]) -> str:
    """A name to the right of its point, or to the left, where there is room; else it is in the tooltip alone."""
    width = 6.6 * len(name)
    for left, anchor in ((x + radius + 5, "start"), (x - radius - 5 - width, "end")):
        free = all(abs(y - other) > 13 or left > right or start > left + width for start, right, other in taken)
        if free and left > LEFT and left + width < WIDTH - RIGHT:
            taken.append((left, left + width, y))
            return svg.text(left if anchor == "start" else left + width, y + 4, name, anchor, "name")
    return ""
