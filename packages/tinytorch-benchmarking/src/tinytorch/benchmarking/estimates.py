"""Statistics of repeated measurements: percentiles, outliers, and intervals by resampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import check_int

from .checks import check_number

__all__ = ["Estimate", "Outliers", "bootstrap", "outliers", "percentile", "percentile_bound"]

Numbers = npt.NDArray[np.float64]
BLOCK = 2**21  # numbers that are resampled at once: 16 MiB


class Estimate(NamedTuple):
    """A value and the interval that it was estimated in."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


class Outliers(NamedTuple):
    """How many measurements lie outside of Tukey's fences. They are counted, never left out."""

    far_low: int
    low: int
    high: int
    far_high: int

    @property
    def total(self) -> int:
        """All four kinds together."""
        return self.far_low + self.low + self.high + self.far_high


def percentile(values: npt.ArrayLike, share: float) -> float:
    """The smallest of `values` (n,) that at least this `share` of them does not exceed: the nearest-rank definition.

    `share` is between 0 and 1; `percentile(x, 0.99)` is one of the values, never between two of them, as in MLPerf's
    load generator. A share is taken as it is written: 0.07 of 100 values are 7.
    Raises ValueError for no values and for a share outside.

    >>> percentile([3.0, 1.0, 2.0, 4.0], 0.5), percentile([3.0, 1.0, 2.0, 4.0], 0.51)
    (2.0, 3.0)
    """
    check_number("percentile", "share", share, high=1)
    return float(ranked(_sample("percentile", values), share))


def ranked(x: Numbers, share: float, axis: int = -1) -> Any:
    """The percentile of each row: what `percentile` says, as a statistic that `bootstrap` takes."""
    k = math.ceil(Fraction(str(float(share))) * x.shape[axis]) - 1
    return np.take(np.partition(x, k, axis), k, axis)


def percentile_bound(values: npt.ArrayLike, share: float, confidence: float = 0.99) -> float | None:
    """The smallest of `values` (n,) that is not below the true percentile with this `confidence`; None for too few.

    Whatever the distribution, the r-th smallest of n is above the percentile unless r or more of them fell below it,
    which is a binomial probability: David and Nagaraja 2003, Order statistics, section 7.1. MLPerf's rule of early
    stopping asks the same: with 99 % confidence the 99th percentile takes 459 values at least, and the 90th takes 44.

    >>> percentile_bound(np.arange(458.0), 0.99), percentile_bound(np.arange(459.0), 0.99)
    (None, 458.0)
    """
    x = np.sort(_sample("percentile_bound", values))
    check_number("percentile_bound", "share", share, high=1)
    check_number("percentile_bound", "confidence", confidence, high=1)
    k = np.arange(1, x.size + 1)
    chosen = np.concatenate([[0.0], np.cumsum(np.log(x.size - k + 1) - np.log(k))])  # log of n over k, (n + 1,)
    below = np.arange(x.size + 1)
    logs = chosen + below * math.log(share) + (x.size - below) * math.log1p(-share)
    rank = int(np.searchsorted(np.cumsum(np.exp(logs))[:-1], confidence)) + 1
    return float(x[rank - 1]) if rank <= x.size else None


def outliers(values: npt.ArrayLike) -> Outliers:
    """Count what lies outside of the fences, 1.5 times the distance of the quartiles beyond them, and 3 times (far).

    Source: Tukey 1977, Exploratory data analysis, section 2D. Quartiles are interpolated linearly, as NumPy's are.

    >>> outliers([9.0, 10.0, 10.0, 11.0, 10.0, 12.5, 40.0])
    Outliers(far_low=0, low=0, high=0, far_high=1)
    """
    x = _sample("outliers", values)
    first, third = np.quantile(x, [0.25, 0.75])
    near, far = 1.5 * (third - first), 3 * (third - first)
    below, above = int((x < first - near).sum()), int((x > third + near).sum())
    far_below, far_above = int((x < first - far).sum()), int((x > third + far).sum())
    return Outliers(far_below, below - far_below, above - far_above, far_above)


def bootstrap(
    statistic: Callable[..., Any],
    *samples: npt.ArrayLike,
    paired: bool = False,
    confidence: float = 0.95,
    resamples: int = 9999,
    method: str = "percentile",
    generator: np.random.Generator | int = 0,
) -> Estimate:
    """`statistic(*samples, axis=-1)` and an interval that holds the true value with this `confidence`.

    Each sample (n,) is drawn from again, with replacement, `resamples` times; `paired` samples are drawn together, by
    place, and are equally long. `method` is "percentile" (quantiles of what the resamples gave: Efron and Tibshirani
    1993, An introduction to the bootstrap, chapter 13), or "bca", which also corrects bias and skewness of statistics
    that are smooth, such as a mean (Efron 1987, Better bootstrap confidence intervals; several samples as in
    Efron and Tibshirani, chapter 14). The jackknife of "bca" does not serve medians: take "percentile" for them.
    `generator` is a seed or a NumPy generator; the same seed gives the same interval.

    Raises ValueError for samples of fewer than 2 numbers, or numbers that are not finite.

    >>> bootstrap(np.median, [10.0, 11.0, 12.0, 13.0, 30.0])
    Estimate(value=12.0, low=10.0, high=30.0)
    """
    if method not in ("percentile", "bca"):
        raise ValueError(f"bootstrap: method is {method!r}; it must be 'percentile' or 'bca'")
    check_number("bootstrap", "confidence", confidence, high=1)
    check_int("bootstrap", "resamples", resamples, minimum=1)
    data = [_sample("bootstrap", each, 2) for each in samples]
    if not data or (paired and len({each.size for each in data}) > 1):
        raise ValueError(f"bootstrap: samples of {[each.size for each in data]} numbers; paired ones are equally long")
    value = float(statistic(*data, axis=-1))
    rng = generator if isinstance(generator, np.random.Generator) else np.random.default_rng(generator)
    found = _resampled(statistic, data, paired, resamples, rng)
    levels = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        levels = _bca_levels(levels, statistic, data, paired, value, found)
    low, high = np.quantile(found, levels)
    return Estimate(value, float(low), float(high))


def _resampled(
    statistic: Callable[..., Any], data: Sequence[Numbers], paired: bool, resamples: int, rng: np.random.Generator
) -> Numbers:
    """The statistic of each resample, (resamples,), computed in blocks that fit the memory."""
    longest = max(each.size for each in data)
    parts = []
    for start in range(0, resamples, step := max(1, BLOCK // longest)):
        rows = min(step, resamples - start)
        places = rng.integers(0, data[0].size, (rows, data[0].size)) if paired else None
        drawn = [each[rng.integers(0, each.size, (rows, each.size)) if places is None else places] for each in data]
        parts.append(np.asarray(statistic(*drawn, axis=-1), np.float64))  # (rows, n) each -> (rows,)
    return np.concatenate(parts)


def _bca_levels(
    levels: Numbers, statistic: Callable[..., Any], data: Sequence[Numbers], paired: bool, value: float, found: Numbers
) -> Numbers:
    """The levels at which quantiles are taken, moved by bias and acceleration: Efron 1987, equations 2.3 and 6.6."""
    below = (np.mean(found < value) + np.mean(found <= value)) / 2
    if not 0 < below < 1:
        return levels  # every resample gave the same: there is nothing to correct
    normal = NormalDist()
    bias = normal.inv_cdf(float(below))
    cubes = squares = 0.0
    for influence in _influences(statistic, data, paired):
        cubes += float((influence**3).sum()) / influence.size**3
        squares += float((influence**2).sum()) / influence.size**2
    acceleration = cubes / (6 * squares**1.5) if squares else 0.0
    moved = [bias + normal.inv_cdf(float(level)) for level in levels]
    return np.array([normal.cdf(bias + each / (1 - acceleration * each)) for each in moved])


def _influences(statistic: Callable[..., Any], data: Sequence[Numbers], paired: bool) -> list[Numbers]:
    """What each number contributes, by the jackknife: one array for paired samples, else one for each sample."""
    found = []
    for place, sample in enumerate(data[:1] if paired else data):
        left_out = []
        for index in range(sample.size):
            rest = [np.delete(each, index) if paired or k == place else each for k, each in enumerate(data)]
            left_out.append(float(statistic(*rest, axis=-1)))
        values = np.array(left_out)
        found.append((sample.size - 1) * (values.mean() - values))
    return found


def _sample(owner: str, values: npt.ArrayLike, least: int = 1) -> Numbers:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or x.size < least or not np.isfinite(x).all():
        raise ValueError(f"{owner}: {x.size} numbers of shape {x.shape}; give a row of at least {least}, all finite")
    return x
