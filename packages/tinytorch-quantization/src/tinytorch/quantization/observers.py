"""What inputs a layer sees, and the range of them that its integers stand for."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from tinytorch.layers.checks import real
from tinytorch.tensor import Array, array_of

from .errors import QuantizationError

BINS = 2048
TINY = float(np.finfo(np.float32).tiny)  # smaller scales lose digits in float32, or become 0


class Observer(Protocol):
    """Looks at arrays, one after the other, and says from where to where their numbers matter."""

    def observe(self, x: Any) -> None: ...

    @property
    def range(self) -> tuple[float, float]: ...


class MinMaxObserver:
    """From the least to the largest number that was seen.

    >>> observer = MinMaxObserver()
    >>> observer.observe([1.0, -3.0]); observer.observe([2.0])
    >>> observer.range
    (-3.0, 2.0)
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf

    def observe(self, x: Any) -> None:
        """Look at `x`. Raises QuantizationError for infinities and NaN."""
        array = finite(array_of(x))
        if array.size:
            self.low, self.high = min(self.low, float(array.min())), max(self.high, float(array.max()))

    @property
    def range(self) -> tuple[float, float]:
        """The two ends. Raises QuantizationError while nothing was seen."""
        if self.low > self.high:
            raise QuantizationError("observer: it has seen no numbers; observe some first")
        return self.low, self.high


class HistogramObserver(MinMaxObserver):
    """How many numbers fell into each of 2,048 bins around 0, whose width doubles when a number falls outside."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = np.zeros(BINS, np.int64)
        self.width = 0.0  # of a bin; the bins reach from -BINS / 2 widths to BINS / 2

    def observe(self, x: Any) -> None:
        """Look at `x`. Raises QuantizationError for infinities and NaN."""
        super().observe(x)
        array = array_of(x).reshape(-1).astype(np.float64)
        reach = float(np.abs(array).max(initial=0.0))
        if not self.width:
            self.width = 2 * reach / BINS
        if not self.width:
            self.counts[BINS // 2] += array.size  # zeros so far
            return
        while reach > self.width * BINS / 2:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[:] = 0
            self.counts[BINS // 4 : BINS // 4 * 3] = pairs
            self.width *= 2
        places = np.floor(array / self.width).astype(np.int64) + BINS // 2
        self.counts += np.bincount(places.clip(0, BINS - 1), minlength=BINS)

    @property
    def centers(self) -> Array:
        """The middle of each bin."""
        return (np.arange(BINS) - BINS // 2 + 0.5) * self.width


class PercentileObserver(HistogramObserver):
    """The range that leaves out the outermost numbers: with 99.9, the least and the largest half per mille.

    >>> observer = PercentileObserver(98.0)
    >>> observer.observe(np.linspace(-1, 1, 10001)); observer.observe([50.0])
    >>> low, high = observer.range
    >>> -1.1 < low < -0.9 < 0.9 < high < 1.1
    True
    """

    def __init__(self, percentile: float = 99.9) -> None:
        super().__init__()
        if not 50 <= real("PercentileObserver", "percentile", percentile) <= 100:
            raise ValueError(f"PercentileObserver: percentile is {percentile}; it must be from 50 to 100")
        self.percentile = percentile

    @property
    def range(self) -> tuple[float, float]:
        """The two ends, to a bin. Raises QuantizationError while nothing was seen."""
        low, high = super().range
        share = (100 - self.percentile) / 200
        reached = self.counts.cumsum() / self.counts.sum()
        first = int(np.searchsorted(reached, share, "right"))
        last = int(np.searchsorted(reached, 1 - share, "left"))
        half = self.width / 2
        return max(low, float(self.centers[first]) - half), min(high, float(self.centers[last]) + half)


class MSEObserver(HistogramObserver):
    """The range whose 256 codes are nearest to the numbers that were seen, by the mean squared error.

    It tries 100 parts of the whole range, and counts the error of the middle of each bin.

    Source: as the clipping of Banner et al. 2019, Post training 4-bit quantization of convolutional networks.
    """

    @property
    def range(self) -> tuple[float, float]:
        """The two ends. Raises QuantizationError while nothing was seen."""
        low, high = min(super().range[0], 0.0), max(super().range[1], 0.0)
        parts = [(low * share, high * share) for share in np.linspace(0.01, 1, 100)]
        errors = [self._error(ends) for ends in parts]
        return parts[int(np.argmin(errors))] if self.width else (low, high)

    def _error(self, ends: tuple[float, float]) -> float:
        scale, zero = scale_of(*ends)
        seen = self.centers
        codes = (np.rint(seen / scale) + zero).clip(-128, 127)
        return float((self.counts * (scale * (codes - zero) - seen) ** 2).sum())


OBSERVERS: dict[str, type[MinMaxObserver]] = {
    "minmax": MinMaxObserver, "percentile": PercentileObserver, "mse": MSEObserver,
}  # fmt: skip


def scale_of(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of codes from -128 to 127 for numbers of a range; 0 is represented exactly.

    >>> scale_of(0.0, 510.0)
    (2.0, -128)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    if scale < TINY:
        return 1.0, 0
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def finite(array: Array) -> Array:
    if not np.isfinite(array).all():
        raise QuantizationError("observer: infinity or NaN among what was observed; look for what made it")
    return array
