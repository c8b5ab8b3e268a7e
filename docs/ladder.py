"""Climb from Python loops to compiled code on all cores, measured: a matrix product, GELU and a convolution.

Every rung computes the same, which is checked, and the best time of several is taken. The table goes into the chapter
on acceleration, the pictures into docs/images. Run it on a quiet machine: `python docs/ladder.py`; `--quick` takes
seconds, and `--dry` writes nothing.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is loaded: a core is added where a rung says so

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from rungs import CORES, Rung, convolutions, gelus, product_on_all_cores, products

from tinytorch.acceleration import share

DOCS = Path(__file__).parent
LOAD = os.getloadavg()[0]  # before it starts


class Measured(NamedTuple):
    """A rung with its best time in seconds."""

    rung: Rung
    seconds: float

    @property
    def rate(self) -> float:
        """FLOP/s."""
        return self.rung.flops / self.seconds


# Measuring


def best(run: Callable[[], Any], seconds: float) -> float:
    """The shortest time of several, after one that compiles and warms up."""
    run()
    shortest, end = math.inf, perf_counter() + seconds
    while True:
        start = perf_counter()
        run()
        stop = perf_counter()
        shortest = min(shortest, stop - start)
        if stop > end:
            return shortest


def measure(rung: Rung, seconds: float) -> Measured:
    """Check the result, then time it."""
    np.testing.assert_allclose(np.asarray(rung.run(), np.float64), rung.wanted, rtol=1e-3, atol=2e-3, err_msg=rung.name)
    return Measured(rung, best(rung.run, seconds))


def roofs(seconds: float) -> dict[str, tuple[float, float]]:
    """FLOP/s of a matrix product and bytes/s of a copy, on one core and on all."""
    n, length = 768, 2**24
    x, out = np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    source, target = np.ones(length, np.float32), np.zeros(length, np.float32)
    cut = [length * part // CORES for part in range(CORES + 1)]

    def copy(part: int) -> None:
        np.copyto(target[cut[part] : cut[part + 1]], source[cut[part] : cut[part + 1]])

    return {
        "one core": (
            2 * n**3 / best(lambda: np.matmul(x, x, out=out), seconds),
            2 * source.nbytes / best(lambda: np.copyto(target, source), seconds),
        ),
        "all cores": (
            2 * n**3 / best(lambda: product_on_all_cores(x, x, out), seconds),
            2 * source.nbytes / best(lambda: share(copy, CORES), seconds),
        ),
    }


# Showing

COLORS = {"matrix product": "#3566a5", "GELU": "#c2542d", "convolution": "#3c8a50"}
LABELLED = {"Python loop", "Python loops", "NumPy as written", "NumPy, row by row", "BLAS, all cores", "im2col"}
LABELLED |= {"NumPy in blocks", "compiled", "compiled, blocked", "fused, all cores", "tinytorch.spatial"}


def draw_roofline(found: list[Measured], lines: dict[str, tuple[float, float]]) -> Any:
    """Every rung as a point: what it computes per byte, and how fast. Above it, what the machine allows."""
    figure, axes = plt.subplots(figsize=(7.6, 5.2))
    span = np.geomspace(0.05, 1600, 200)
    for (name, (peak, bandwidth)), style in zip(lines.items(), ("--", "-"), strict=True):
        words = f"{name}: {peak / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s"
        axes.plot(span, np.minimum(peak, bandwidth * span) / 1e9, style, color="#555", linewidth=1.2, label=words)
    for work, color in COLORS.items():
        points = [each for each in found if each.rung.work == work]
        x = [each.rung.flops / each.rung.traffic for each in points]
        axes.plot(x, [each.rate / 1e9 for each in points], "o-", color=color, markersize=5, linewidth=0.8, label=work)
        for each, place in zip(points, x, strict=True):
            if each.rung.name in LABELLED:
                right = work != "convolution"
                spot, side = (6 if right else -6, -3), "left" if right else "right"
                axes.annotate(
                    each.rung.name, (place, each.rate / 1e9), spot, textcoords="offset points", ha=side, fontsize=7.5
                )
    axes.set(xscale="log", yscale="log", xlabel="FLOPs per byte of memory traffic", ylabel="GFLOP/s", xlim=(0.05, 1700))
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_ladder(found: list[Measured]) -> Any:
    """Speed against the first rung of each work."""
    figure, panels = plt.subplots(3, 1, figsize=(7.6, 6.4), height_ratios=[7, 6, 4], sharex=True, layout="constrained")
    for axes, (work, color) in zip(panels, COLORS.items(), strict=True):
        points = [each for each in found if each.rung.work == work]
        times = [each.rate / points[0].rate for each in points]
        axes.barh([each.rung.name for each in points], times, color=color, height=0.65)
        axes.invert_yaxis()
        axes.set(xscale="log", xlim=(0.7, 2e6))
        axes.set_title(work, loc="left", fontsize=9, color=color)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        for row, each in enumerate(times):
            axes.text(each * 1.1, row, f"{_rounded(each)} x", va="center", fontsize=8)
    panels[-1].set_xlabel("times as fast as Python loops", fontsize=8)
    return figure


def _rounded(number: float) -> str:
    """Three digits, without a power of ten."""
    return f"{float(f'{number:.3g}'):,.6g}" if number < 1e6 else f"{number:,.0f}"


def table(found: list[Measured], lines: dict[str, tuple[float, float]]) -> str:
    """What the chapter shows."""
    roof = "; ".join(
        f"{name} {peak / 1e9:.0f} GFLOP/s and {rate / 1e9:.1f} GB/s" for name, (peak, rate) in lines.items()
    )
    rows = ["| work | rung | GFLOP/s | FLOPs per byte | times the first |", "|---|---|---:|---:|---:|"]
    first: dict[str, float] = {}
    for each in found:
        start = first.setdefault(each.rung.work, each.rate)
        rows.append(
            f"| {each.rung.work} | {each.rung.name} | {each.rate / 1e9:.3g} | "
            f"{each.rung.flops / each.rung.traffic:.2g} | {_rounded(each.rate / start)} |"
        )
    machine = f"{processor()}, {CORES} cores, NumPy {np.__version__}"
    return "\n".join([f"Measured on {machine}, with a load of {LOAD:.1f} by other programs: {roof}.", "", *rows])


def processor() -> str:
    """What the machine calls its processor."""
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"model name\s*:\s*(.+)", words)
    return found[1].strip() if found else platform.machine()


def save(figure: Any, path: Path) -> None:
    """As SVG, the same file for the same numbers."""
    with plt.rc_context({"svg.hashsalt": "ladder", "svg.fonttype": "none"}):
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Measure, print, and write chapter and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, a moment each; writes nothing")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    asked = parser.parse_args()
    seconds = 0.05 if asked.quick else 1.0
    lines = roofs(seconds)
    rungs = [*products(asked.quick), *gelus(asked.quick), *convolutions(asked.quick)]
    found = [measure(rung, seconds) for rung in rungs]
    text = table(found, lines)
    print(text)
    roofline, ladder = draw_roofline(found, lines), draw_ladder(found)
    if asked.quick or asked.dry:
        return
    save(roofline, DOCS / "images" / "roofline.svg")
    save(ladder, DOCS / "images" / "ladder.svg")
    chapter = DOCS / "chapters" / "5-acceleration.md"
    marked = re.compile(r"(<!-- ladder -->\n).*?(\n<!-- end -->)", re.DOTALL)
    before = chapter.read_text(encoding="utf-8")
    chapter.write_text(marked.sub(lambda match: match[1] + "\n" + text + "\n" + match[2], before), encoding="utf-8")


if __name__ == "__main__":
    main()
