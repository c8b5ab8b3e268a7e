"""The front by its definition, and the picture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.benchmarking import Point, pareto_front, plot_pareto

few = st.integers(1, 4).map(float)  # few values, so that many are equal
clouds = st.lists(st.tuples(few, few, few), max_size=12).map(
    lambda rows: [Point(str(index), *row) for index, row in enumerate(rows)]
)


@given(clouds, st.booleans())
def test_front_is_what_nothing_dominates(points: list[Point], higher: bool) -> None:
    def dominates(a: Point, b: Point) -> bool:
        quality = (a.quality >= b.quality) if higher else (a.quality <= b.quality)
        return quality and a.latency <= b.latency and a.memory <= b.memory and a[1:] != b[1:]

    front = pareto_front(points, higher_is_better=higher)
    assert front == [b for b in points if not any(dominates(a, b) for a in points)]
    assert bool(front) == bool(points)
    for point in set(points) - set(front):
        assert any(dominates(better, point) for better in front)


POINTS = [Point("large $x$", 0.97, 0.02, 4e7), Point("small", 0.95, 0.004, 1e6), Point("bad", 0.94, 0.03, 5e7)]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_picture_is_saved_and_names_every_point(ending: str, tmp_path: Path) -> None:
    figure = plot_pareto(POINTS, tmp_path / f"pareto.{ending}", metric="accuracy")
    [axes] = figure.axes
    assert axes.get_ylabel() == "accuracy"
    assert {text.get_text().splitlines()[0] for text in axes.texts} == {"large $x$", "small", "bad"}
    assert (tmp_path / f"pareto.{ending}").stat().st_size > 1000
    filled = [len(circle.get_facecolor()) for circle in axes.collections]
    assert filled == [1, 1, 0]


def test_less_is_better_turns_the_axis() -> None:
    low, high = plot_pareto(POINTS, higher_is_better=False).axes[0].get_ylim()
    assert low > high


def test_bad_points_are_refused() -> None:
    with pytest.raises(ValueError, match="no points"):
        plot_pareto([])
    for field in ("latency", "memory"):
        with pytest.raises(ValueError, match=f"the {field} of 'small' is 0"):
            plot_pareto([POINTS[1]._replace(**{field: 0})])
    with pytest.raises(ValueError, match="the quality of 'small' is nan"):
        plot_pareto([POINTS[1]._replace(quality=float("nan"))])


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tinytorch-benchmarking\[plot\]'"):
        plot_pareto(POINTS)
