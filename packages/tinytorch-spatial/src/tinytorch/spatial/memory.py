"""The order in memory that this stage computes in: channels, rows, columns, and the batch last, (C, H, W, N).

Images have the shape (N, C, H, W) everywhere. With the batch last in memory, a kernel that slides by a pixel
slides by N numbers, so that whole rows of windows are copied, compared and added as one run. What a function of this
stage returns is a view of such memory, which the next one takes as it is: only the first layer of a network copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytorch.tensor import Array

BLOCK = 2**19
"""Numbers of windows that are copied out at a time: 2 MiB in float32, which is still in the cache when it is used."""


def batch_last(x: Array, dtype: Any = None) -> Array:
    """(N, C, ...) -> (C, ..., N), contiguous; no copy when the memory of `x` has that order already."""
    return np.ascontiguousarray(x.transpose(*range(1, x.ndim), 0), dtype)


def batch_first(x: Array) -> Array:
    """(C, ..., N) -> (N, C, ...), a view."""
    return x.transpose(-1, *range(x.ndim - 1))


def float_dtype(x: Array, *others: Array | None) -> Any:
    """The dtype to compute in: that of all together, with integers as float64."""
    return np.result_type(x if x.dtype.kind == "f" else np.float64, *(each for each in others if each is not None))


def tiles(rows: int, columns: int, numbers: int) -> Iterator[tuple[slice, slice]]:
    """Rectangles that cover `rows` x `columns` pixels of `numbers` numbers each, about `BLOCK` in one: whole rows, or
    parts of one row.

    >>> list(tiles(3, 4, 2**16))
    [(slice(0, 2, None), slice(0, 4, None)), (slice(2, 3, None), slice(0, 4, None))]
    """
    wide = max(1, min(columns, BLOCK // max(1, numbers)))
    high = max(1, BLOCK // max(1, numbers * columns))
    for top in range(0, rows, high):
        for left in range(0, columns, wide):
            yield slice(top, min(top + high, rows)), slice(left, min(left + wide, columns))
