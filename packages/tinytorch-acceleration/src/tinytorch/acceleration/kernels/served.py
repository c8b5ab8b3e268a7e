"""What kernels ask of a call before they serve it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array

from ..serving import Unserved

BLOCK = 2**15
"""Numbers that a core takes at a time: tens of microseconds of work, and few enough for its cache."""
PRECISIONS = (np.dtype(np.float32), np.dtype(np.float64))


def unserved(*arrays: Any) -> Unserved | None:
    """Why these are not arrays of one dtype, float32 or float64, in the order of C; None when they are."""
    dtype = None
    for x in arrays:
        if type(x) is not np.ndarray:
            return Unserved(f"a {type(x).__name__} for an array")
        if x.dtype not in PRECISIONS:
            return Unserved(f"dtype {x.dtype}")
        if dtype is not None and x.dtype is not dtype and x.dtype != dtype:
            return Unserved(f"dtypes {dtype} and {x.dtype}")
        dtype = x.dtype
        if not x.flags.c_contiguous:
            return Unserved("not contiguous")
    return None


def rows_of(x: Array) -> Array:
    """(..., D) -> (n, D), a view."""
    return x.reshape(-1, x.shape[-1]) if x.size else x.reshape(0, x.shape[-1])


def rows_per_block(width: int) -> int:
    """How many rows of this many numbers make a block."""
    return max(1, BLOCK // max(1, width))
