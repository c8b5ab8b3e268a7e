"""The ranking of a competition as one page of HTML that loads nothing from a network."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from tinytorch.tensor import replacing

from .competition import VALUES, Competition, Place, figure, rank
from .machine import pools_text
from .pareto import Point, pareto_front
from .submission import Submission
from .units import shown

__all__ = ["write_page"]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760.0, 380.0, 70.0, 90.0, 24.0, 46.0


def write_page(path: str | os.PathLike[str], submissions: Sequence[Submission], competition: Competition) -> None:
    """Rank submissions and write the page to `path` in one step.

    Names and descriptions come from files of others: they are shown as text, never as markup, and the page forbids
    itself to load or run anything. Raises what `rank` raises; then nothing is written.
    """
    html = page(rank(submissions, competition), competition)
    with replacing(path) as draft:
        draft.write_text(html, encoding="utf-8")


def page(places: Sequence[Place], competition: Competition) -> str:
    """The page as text."""
    processors = sorted({str(each.submission.result.machine.get("processor", "unknown")) for each in places})
    about = f"<p>{escape(competition.about)}</p>\n" if competition.about else ""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    metric = escape(places[0].submission.quality.metric)
    items = "\n".join(_item(each, competition) for each in places)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(competition.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(competition.title)}</h1>\n{about}<p class="dim">{escape(competition.rules())} '
        f"Measured on {escape(', '.join(processors))}.</p>\n<ol>\n{items}\n</ol>\n"
        f"<h2>{metric} over latency</h2>\n"
        f'<p class="dim">Higher is better, further left is faster. The area of a circle is the {_area(places)}; a '
        "filled one is on the Pareto front: no other is as good in all three and better in one.</p>\n"
        f'<div class="wide">{_chart(places)}</div>\n</main>\n</body>\n</html>\n'
    )


def _item(entry: Place, competition: Competition) -> str:
    place, submission, problems = entry
    wrong = "".join(f'<p class="bad">{escape(each)}</p>' for each in problems)
    return (
        f'<li{" class=first" if place == 1 else ""}><div class="place">{"&ndash;" if place is None else place}</div>'
        f'<div><div class="name"><bdi>{escape(submission.title)}</bdi></div>'
        f'<div class="dim"><bdi>{escape(submission.team)}</bdi></div>{wrong}</div>\n'
        f"{_figures(submission, competition)}\n{_details(submission)}</li>"
    )


def _figures(submission: Submission, competition: Competition) -> str:
    speedup, quality = submission.speedup, submission.quality
    notes = {
        "quality": f"{quality.samples:,} samples",
        "latency": f"{len(submission.result.series[submission.function].times)} turns",
        "speedup": f"{speedup.low:.3g}x to {speedup.high:.3g}x",
        "size": f"{submission.parameters:,} parameters",
    }
    cells = []
    for what in VALUES:
        label = quality.metric if what == "quality" else what
        note = f"<small>{escape(notes[what])}</small>" if what in notes else ""
        kind = ' class="decides"' if what == competition.rank_by else ""
        value = escape(figure(what, VALUES[what](submission)))
        cells.append(f"<div{kind}><dt>{escape(label)}</dt><dd>{value}{note}</dd></div>")
    return f"<dl>{''.join(cells)}</dl>"


def _details(submission: Submission) -> str:
    result, about = submission.result, submission.result.machine
    lines = [submission.description] if submission.description else []
    lines.append(f"Measured as {submission.function!r} against {result.baseline!r}, {result.when}.")
    if about:
        software = f"{pools_text(about['pools']) or 'no thread pools'}, {about['python']}, NumPy {about['numpy']}"
        lines.append(f"{about['processor']}, {about['usable_cores']} cores, {software}.")
    lines += [f"Note: {note}." for note in result.notes]
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f"<details><summary>How it was measured</summary>{text}</details>"


def _area(places: Sequence[Place]) -> str:
    """What the chart shows beside quality and latency: the peak of memory, or the size where one has no peak."""
    return "size" if any(each.submission.memory is None for each in places) else "memory"


def _chart(places: Sequence[Place]) -> str:
    """Quality over latency; names beside the circles where there is room, else in their tooltips."""
    points = [
        Point(each.title, each.quality.value, each.latency, VALUES[_area(places)](each) or 0) for _, each, _ in places
    ]
    higher = places[0].submission.quality.higher_is_better
    front = {id(point) for point in pareto_front(points, higher_is_better=higher)}
    xs, ys = [math.log10(p.latency) for p in points], [p.quality for p in points]
    (x_low, x_high), (y_low, y_high) = _widened(xs, 0.1), _widened(ys, max(map(abs, ys)) * 0.01 or 0.1)
    largest = max(p.memory for p in points) or 1

    def x(value: float) -> float:
        return LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = (value - y_low) / (y_high - y_low)
        return TOP + (1 - share if higher else share) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for k in range(5):
        at, level = x_low + k / 4 * (x_high - x_low), y_low + k / 4 * (y_high - y_low)
        parts.append(f'<line class="grid" x1="{x(at):.1f}" y1="{TOP}" x2="{x(at):.1f}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y(level):.1f}" x2="{WIDTH - RIGHT}" y2="{y(level):.1f}"/>')
        label = escape(shown(10**at, "s"))
        parts.append(f'<text x="{x(at):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{label}</text>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level:.3g}</text>')
    taken = [(x(at) - 6, x(at) + 6, y(level) + 4) for at, level in zip(xs, ys, strict=True)]  # no name on a circle
    for point, at, level in sorted(zip(points, xs, ys, strict=True), key=lambda each: -each[0].memory):
        radius = 4 + 14 * math.sqrt(point.memory / largest)
        tip = f"{point.name}: {point.quality:.4g}, {shown(point.latency, 's')}, {shown(point.memory, 'B')}"
        kind = ' class="front"' if id(point) in front else ""
        parts.append(
            f'<circle{kind} cx="{x(at):.1f}" cy="{y(level):.1f}" r="{radius:.1f}" tabindex="0" role="img" '
            f'aria-label="{escape(tip)}"><title>{escape(tip)}</title></circle>'
        )
        parts.append(_label(x(at), y(level) + 4, radius, point.name, taken))
    words = "quality over latency, one circle per submission"
    return f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="group" aria-label="{words}">{"".join(parts)}</svg>'


def _widened(values: Sequence[float], least: float) -> tuple[float, float]:
    """From below the lowest to above the highest."""
    low, high = min(values), max(values)
    margin = max(0.12 * (high - low), least)
    return low - margin, high + margin


def _label(x: float, y: float, radius: float, name: str, taken: list[tuple[float, float, float]]) -> str:
    """A name to the right of its circle, or to the left, where there is room; else it is in the tooltip alone."""
    short = name if len(name) <= 24 else f"{name[:23]}…"
    width = 7.2 * len(short)
    for left in (x + radius + 5, x - radius - 5 - width):
        free = all(abs(y - other) >= 15 or left >= end or left + width <= start for start, end, other in taken)
        if free and left > LEFT and left + width < WIDTH:
            taken.append((left, left + width, y))
            return f'<text class="label" x="{left:.1f}" y="{y:.1f}">{escape(short)}</text>'
    return ""
