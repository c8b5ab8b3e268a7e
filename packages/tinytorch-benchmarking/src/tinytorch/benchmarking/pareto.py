"""Quality, latency and memory: what is best when no one of them is everything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch.tensor import replacing

from .checks import check_number
from .units import shown

__all__ = ["Point", "pareto_front", "plot_pareto"]


class Point(NamedTuple):
    """Something that was measured: its quality, its latency in seconds, its memory in bytes."""

    name: str
    quality: float
    latency: float
    memory: float


def pareto_front(points: Sequence[Point], *, higher_is_better: bool = True) -> list[Point]:
    """Those that no other point dominates: is as good in all three and better in one. In their order; equals all stay.

    `higher_is_better` is about quality: False for a perplexity or a loss. Less latency and less memory are better.

    >>> points = [Point("a", 0.9, 0.1, 50), Point("b", 0.8, 0.2, 60), Point("c", 0.8, 0.2, 10)]
    >>> [point.name for point in pareto_front(points)]
    ['a', 'c']
    """
    sign = -1.0 if higher_is_better else 1.0
    costs = [(sign * point.quality, point.latency, point.memory) for point in points]

    def dominated(cost: tuple[float, ...]) -> bool:
        return any(all(a <= b for a, b in zip(other, cost, strict=True)) and other != cost for other in costs)

    return [point for point, cost in zip(points, costs, strict=True) if not dominated(cost)]


def plot_pareto(
    points: Sequence[Point],
    path: str | os.PathLike[str] | None = None,
    *,
    metric: str = "quality",
    higher_is_better: bool = True,
) -> Any:
    """Draw quality over latency, the memory as the area of a circle, and return the matplotlib figure.

    Circles of the Pareto front are filled; the steps join those that are best by quality and latency alone. With `path`
    the picture is saved there, in the format that its ending names. Raises ImportError when matplotlib is missing,
    ValueError for no points and for a latency or memory that is not above 0.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
    except ImportError:
        way = "pip install 'tinytorch-benchmarking[plot]'"
        raise ImportError(f"plot_pareto needs matplotlib, which is not installed; {way}") from None
    if not points:
        raise ValueError("plot_pareto: there are no points to draw")
    for point in points:
        check_number("plot_pareto", f"the quality of {point.name!r}", point.quality, low=-float("inf"))
        check_number("plot_pareto", f"the latency of {point.name!r}", point.latency)
        check_number("plot_pareto", f"the memory of {point.name!r}", point.memory)
    front = set(pareto_front(points, higher_is_better=higher_is_better))
    largest = max(point.memory for point in points)
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    steps = sorted(
        pareto_front([point._replace(memory=0) for point in points], higher_is_better=higher_is_better),
        key=lambda point: point.latency,
    )
    axes.step([p.latency for p in steps], [p.quality for p in steps], where="post", color="0.7", zorder=1)
    for point in points:
        area = 40 + 600 * point.memory / largest
        style: dict[str, Any] = {"facecolor": "C0" if point in front else "none", "edgecolor": "C0", "alpha": 0.75}
        axes.scatter([point.latency], [point.quality], s=area, zorder=2, **style)
        axes.annotate(
            f"{point.name}\n{shown(point.memory, 'B')}", (point.latency, point.quality), fontsize=8, zorder=3,
            xytext=(0.4 * area**0.5 + 3, 3), textcoords="offset points", va="bottom", parse_math=False,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="latency", ylabel=metric)
    axes.margins(x=0.18, y=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, "s")))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if not higher_is_better:
        axes.invert_yaxis()
    axes.grid(alpha=0.3)
    if path is not None:
        with replacing(path) as draft:
            figure.savefig(draft, format=Path(path).suffix[1:] or "png", dpi=150)
    return figure
