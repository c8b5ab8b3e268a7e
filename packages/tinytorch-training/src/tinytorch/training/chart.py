"""A curve in characters: each Braille character is two dots wide and four high."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from tinytorch.tensor import Array

# the bit of each dot in U+2800, by column and by row from the top (Unicode standard, Braille Patterns)
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def braille(
    values: Sequence[float] | Array, width: int, height: int, part: float = 1.0, log: bool = False
) -> tuple[list[str], float, float]:
    """`values` as `height` lines of `width` characters, and the values at the bottom and at the top.

    The curve takes up `part` of the width; each column of dots shows the mean of its values. With `log` the axis is
    logarithmic. A mean that is not finite (or, with `log`, not positive) leaves a gap.

    >>> braille([0.0, 1.0, 2.0, 3.0], width=2, height=1)
    (['⡠⠊'], 0.0, 3.0)
    """
    cells = [[0] * width for _ in range(height)]
    with np.errstate(all="ignore"):
        means = _means(np.asarray(values, np.float64), min(max(round(2 * width * part), 1), 2 * width))
        levels = np.log10(means) if log else means
    shown = means[np.isfinite(levels)]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (float(log), float(log))
    bottom, top = (np.log10(low), np.log10(high)) if log else (low, high)
    span = top / 2 - bottom / 2  # halves, because the distance of two floats may be too large for one
    before: int | None = None
    for x, level in enumerate(levels.tolist()):
        if not isfinite(level):
            before = None
            continue
        y = round((4 * height - 1) * float((top / 2 - level / 2) / span)) if span > 0 else 4 * height - 1
        first = y if before is None or abs(before - y) <= 1 else before + (1 if y > before else -1)
        for dot in range(min(first, y), max(first, y) + 1):
            cells[dot // 4][x // 2] |= DOTS[x % 2][dot % 4]
        before = y
    return ["".join(chr(0x2800 + cell) for cell in row) for row in cells], low, high


def _means(values: Array, count: int) -> Array:
    """The means of `count` stretches of equal length; where there are fewer values, each is repeated."""
    if not values.size:
        return np.full(count, np.nan)
    starts = np.arange(count) * len(values) // count
    lengths = np.maximum(np.diff(starts, append=len(values)), 1)
    return np.add.reduceat(values, starts) / lengths
