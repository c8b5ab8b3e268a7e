"""Masks: which query may attend to which key.

One convention everywhere: a boolean (or 0/1 integer) mask is true where a query MAY attend; a floating-point mask is
added to the scores, so that minus infinity forbids. Masks broadcast to (B, H, T, S): batch, heads, queries, keys.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinytorch.tensor import Array, DTypeError, ShapeError, Tensor, array_of, check_int


def causal_mask(queries: int, keys: int | None = None) -> Tensor:
    """Each query sees the keys up to its own position: boolean (T, S), aligned at the end when there are more keys.

    >>> causal_mask(3).astype("int64")
    Tensor([[1, 0, 0],
            [1, 1, 0],
            [1, 1, 1]])
    """
    queries = check_int("causal_mask", "queries", queries)
    keys = queries if keys is None else check_int("causal_mask", "keys", keys)
    return Tensor(np.tri(queries, keys, keys - queries, dtype=bool))


def sliding_window_mask(queries: int, window: int, keys: int | None = None) -> Tensor:
    """Each query sees its own position and the `window - 1` before it: boolean (T, S), aligned at the end.

    Source: Beltagy et al. 2020, Longformer, section 3.1.

    >>> sliding_window_mask(3, window=2).astype("int64")
    Tensor([[1, 0, 0],
            [1, 1, 0],
            [0, 1, 1]])
    """
    check_int("sliding_window_mask", "window", window, minimum=1)
    causal = causal_mask(queries, keys).data
    rows, columns = causal.shape
    return Tensor(causal & ~np.tri(rows, columns, columns - rows - window, dtype=bool))


def padding_mask(valid: Any, length: int | None = None) -> Tensor:
    """Where keys are tokens and not padding, for every query: boolean (B, 1, 1, T).

    `valid` is either (B, T), 1 for a token and 0 for padding, or the B lengths of sequences that are padded at their
    end to `length` (the longest, unless given). Raises ShapeError for other shapes, ValueError for other values and
    DTypeError for floating-point numbers.

    >>> padding_mask([2, 3]).shape
    (2, 1, 1, 3)
    """
    array = array_of(valid)
    if array.dtype.kind not in "biu":
        raise DTypeError(f"padding_mask: dtype {array.dtype}; give lengths as integers, or (B, T) booleans or 0/1")
    if array.ndim == 1:
        if array.dtype.kind == "b" or (array < 0).any():
            raise ValueError(f"padding_mask: {array.tolist()} are not lengths; for one sequence give (1, T)")
        longest = int(array.max(initial=0))
        length = longest if length is None else length
        if length < longest:
            raise ValueError(f"padding_mask: a sequence of {longest} tokens does not fit into {length}")
        array = np.arange(length) < array[:, None]  # (B,) -> (B, T)
    if array.ndim != 2:
        raise ShapeError(f"padding_mask: shape {array.shape}; give (B,) lengths, or (B, T) with 1 for a token")
    return Tensor(read_mask("padding_mask", array)[:, None, None, :])  # (B, T) -> (B, 1, 1, T)


def combine_masks(*masks: Any) -> Tensor | None:
    """One mask that allows what all of them allow; floating-point ones are added. None allows everything.

    >>> combine_masks(causal_mask(2), padding_mask([1])).shape
    (1, 1, 2, 2)
    """
    arrays = [read_mask("combine_masks", mask) for mask in masks if mask is not None]
    if not arrays:
        return None
    try:
        np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise ShapeError(
            f"combine_masks: {shapes} cannot be broadcast together; masks broadcast to (B, H, T, S)"
        ) from None
    if all(array.dtype.kind == "b" for array in arrays):
        return Tensor(functools.reduce(np.logical_and, arrays))
    dtype = np.result_type(*(array for array in arrays if array.dtype.kind == "f"))
    added = [array if array.dtype.kind == "f" else np.where(array, 0, -np.inf).astype(dtype) for array in arrays]
    return Tensor(functools.reduce(np.add, added), dtype)


def read_mask(name: str, mask: Any) -> Array:
    """A mask as an array: booleans, or floating-point numbers to add to the scores.

    Raises ValueError for integers other than 0 and 1, and for floating-point numbers that are all 0 or 1 with a 1 among
    them: added to scores they would forbid nothing. Raises DTypeError for numbers of other kinds.
    """
    read = array_of(mask)
    if read.dtype.kind == "b":
        return read
    if read.dtype.kind not in "iuf":
        raise DTypeError(f"{name}: a mask of dtype {read.dtype}; masks are booleans, 0/1 integers or floating point")
    if read.dtype.kind == "f":
        if read.size and read.max() == 1 and np.isin(read, (0, 1)).all():
            raise ValueError(
                f"{name}: a floating-point mask of zeros and ones; masks that are added to scores hold 0 and -inf, "
                "give mask.astype(bool) when 1 means that a query may attend"
            )
        return read
    if read.size and (read.min() < 0 or read.max() > 1):
        raise ValueError(
            f"{name}: an integer mask with values from {read.min()} to {read.max()}; "
            "integers are 1 where a query may attend and 0 elsewhere, masks that are added to scores are floating point"
        )
    return read.astype(bool)
