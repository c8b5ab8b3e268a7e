"""Statistics against their definitions, against SciPy, and on distributions whose answers are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.benchmarking import bootstrap, outliers, percentile

numbers = st.floats(-1e6, 1e6)
rows = st.lists(numbers, min_size=1, max_size=60)


@given(rows, st.integers(1, 99))
def test_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent / 100)
    need = percent * len(values)  # in hundredths, so that nothing is rounded
    assert found in values
    assert 100 * sum(value <= found for value in values) >= need
    assert 100 * sum(value < found for value in values) < need


@pytest.mark.parametrize("share", [0.07, 0.14, 0.28, 0.29, 0.55, 0.56, 0.57, 0.58])
def test_percentile_takes_a_share_as_it_is_written(share: float) -> None:
    """In floating point, some of these times 100 are a little more than a whole number."""
    assert percentile(np.arange(1.0, 101), share) == round(100 * share)


@given(rows)
def test_outliers_are_those_outside_of_the_fences(values: list[float]) -> None:
    first, third = np.percentile(values, [25, 75])
    reach = third - first
    found = outliers(values)
    assert found.total == sum(not first - 1.5 * reach <= value <= third + 1.5 * reach for value in values)
    assert found.far_low == sum(value < first - 3 * reach for value in values)
    assert found.far_high == sum(value > third + 3 * reach for value in values)


def test_outliers_of_each_kind_are_told_apart() -> None:
    assert outliers([-40.0, 7.0, *[9.0, 10.0, 11.0] * 10, 14.5, 40.0, 50.0]) == (1, 0, 1, 2)


@given(st.lists(numbers, min_size=2, max_size=30), st.integers(0, 2**32))
def test_interval_lies_in_the_range_and_depends_on_the_seed_alone(values: list[float], seed: int) -> None:
    found = bootstrap(np.median, values, resamples=200, generator=seed)
    assert found.value == np.median(values)
    assert min(values) <= found.low <= found.high <= max(values)
    assert found == bootstrap(np.median, values, resamples=200, generator=np.random.default_rng(seed))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_holds_the_truth_as_often_as_it_says(method: str) -> None:
    """Means of an exponential distribution, 90 % intervals: the share that hold 1 is near 0.9, by the binomial law."""
    rng = np.random.default_rng(3)
    trials = 150
    held = 0
    for seed in range(trials):
        sample = rng.exponential(1.0, 60)
        found = bootstrap(np.mean, sample, confidence=0.9, resamples=200, method=method, generator=seed)
        held += found.low <= 1.0 <= found.high
    assert abs(held / trials - 0.9) < 4 * math.sqrt(0.9 * 0.1 / trials)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_is_that_of_scipy(method: str) -> None:
    sample = np.random.default_rng(0).lognormal(size=40)
    ours = bootstrap(np.mean, sample, method=method, resamples=9_999)
    theirs = scipy.stats.bootstrap(
        (sample,), np.mean, method=method, n_resamples=9_999, rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert abs(ours.low - theirs.low) < 0.05 * width
    assert abs(ours.high - theirs.high) < 0.05 * width


@pytest.mark.parametrize("paired", [False, True])
def test_interval_of_two_samples_is_that_of_scipy(paired: bool) -> None:
    def ratio(a: Any, b: Any, axis: int = -1) -> Any:
        return np.mean(a, axis=axis) / np.mean(b, axis=axis)

    rng = np.random.default_rng(5)
    first = rng.gamma(4.0, size=30)
    second = first + rng.gamma(2.0, size=30) if paired else rng.gamma(4.0, size=50)
    ours = bootstrap(ratio, first, second, paired=paired, method="bca", resamples=9_999)
    theirs = scipy.stats.bootstrap(
        (first, second), ratio, paired=paired, method="BCa", n_resamples=9_999, rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert abs(ours.low - theirs.low) < 0.05 * width
    assert abs(ours.high - theirs.high) < 0.05 * width


def test_wider_confidence_gives_a_wider_interval() -> None:
    sample = np.random.default_rng(0).normal(size=50)
    intervals = [bootstrap(np.mean, sample, confidence=c) for c in (0.5, 0.9, 0.99)]
    widths = [each.high - each.low for each in intervals]
    assert widths == sorted(widths)


def test_sample_larger_than_a_block_gives_the_interval_of_theory() -> None:
    n = 400_000
    sample = np.random.default_rng(0).normal(size=n)
    found = bootstrap(np.mean, sample, resamples=60)
    assert abs((found.high - found.low) / (2 * 1.96 / math.sqrt(n)) - 1) < 0.5


def test_sample_without_scatter_has_an_interval_without_width() -> None:
    for method in ("percentile", "bca"):
        assert bootstrap(np.mean, [2.0] * 5, method=method) == (2.0, 2.0, 2.0)
