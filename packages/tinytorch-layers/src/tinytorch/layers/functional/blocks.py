"""Working through large arrays in pieces that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinytorch.tensor import Array

BLOCK = 2**16
"""Numbers in a block: a few blocks fit a 1 MiB cache in float32, and a call costs little compared with its work."""


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices that together cover `rows` rows of `width` numbers, each of about `BLOCK` numbers and at least one row.

    >>> list(row_blocks(5, 2**15))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, BLOCK // max(1, width))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def by_rows(function: Callable[..., tuple[Array, ...]], rows: Array, *args: Any) -> tuple[Array, ...]:
    """What `function(rows, *args, out=None)` returns: an array like `rows` (n, D), and others with n rows.

    Where the rows do not fit one block it is called on blocks of them, and writes its first result to `out`.

    >>> def halve(rows, out=None):
    ...     return np.divide(rows, 2, out=out), rows.sum(axis=1)
    >>> by_rows(halve, np.array([[1.0, 2.0], [3.0, 4.0]]))
    (array([[0.5, 1. ],
           [1.5, 2. ]]), array([3., 7.]))
    """
    if rows.size <= BLOCK:
        return function(rows, *args)
    out = np.empty_like(rows)
    kept = [function(rows[block], *args, out=out[block])[1:] for block in row_blocks(*rows.shape)]
    return (out, *(np.concatenate(parts) for parts in zip(*kept, strict=True)))


def blockwise(function: Callable[..., object], *inputs: Array) -> Array:
    """What `function(*inputs, out)` writes number by number, called on blocks of the inputs, which have one shape.

    The result has the dtype of the first input; an integer one counts as float64.

    >>> blockwise(np.add, np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    array([[4., 6.]])
    """
    if inputs[0].dtype.kind != "f":
        inputs = tuple(array.astype(np.float64) for array in inputs)
    out = np.empty(inputs[0].shape, inputs[0].dtype)
    if out.size <= BLOCK and out.ndim:  # without axes, NumPy would compute with scalars, which are not written to
        function(*inputs, out)
        return out
    flat = [array.reshape(-1) for array in (*inputs, out)]
    for block in row_blocks(out.size, 1):
        function(*(array[block] for array in flat))
    return out
