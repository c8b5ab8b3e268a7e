"""Working through large arrays in pieces that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tinytorch.tensor import Array

BLOCK = 2**16
"""Numbers in a block: a few of this size fit a 1 MiB cache in float32, and a call costs little beside its work."""


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices that together cover `rows` rows of `width` numbers, each of about `BLOCK` numbers and at least one row.

    >>> list(row_blocks(5, 2**15))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, BLOCK // max(1, width))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def working_dtype(dtype: np.dtype) -> np.dtype:
    """What to compute a result of `dtype` in: itself, but float32 for float16, whose range and digits steps exceed.

    >>> working_dtype(np.dtype("float16")), working_dtype(np.dtype("float64"))
    (dtype('float32'), dtype('float64'))
    """
    return np.dtype(np.float32) if dtype.char == "e" else dtype


def blockwise(function: Callable[..., object], dtype: np.dtype, *inputs: Array) -> Array:
    """What `function(*inputs, out)` writes number by number, called on blocks of the inputs, which have one shape.

    Inputs and `out` come to `function` flat and contiguous, in the dtype that results of `dtype` are computed in; an
    integer `dtype` counts as float64.

    >>> blockwise(np.add, np.dtype("float16"), np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    array([[4., 6.]], dtype=float16)
    """
    dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    work = working_dtype(dtype)
    out = np.empty(inputs[0].shape, dtype)
    results, flat = out.reshape(-1), [array.reshape(-1) for array in inputs]
    for block in row_blocks(out.size, 1):
        pieces = [array[block] if array.dtype is work else array[block].astype(work) for array in flat]
        if work is dtype:
            function(*pieces, results[block])
        else:
            wide = np.empty(pieces[0].shape, work)
            function(*pieces, wide)
            results[block] = wide
    return out
