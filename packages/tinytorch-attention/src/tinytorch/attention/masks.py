"""Masks: which query may attend to which key.

One convention everywhere: a boolean (or 0/1 integer) mask is true where a query MAY attend; a floating-point mask is
added to the scores, so that minus infinity forbids. Masks broadcast to (B, H, T, S): batch, heads, queries, keys.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor


def causal_mask(queries: int, keys: int | None = None) -> Tensor:
    """Each query sees the keys up to its own place: boolean (T, S), aligned at the end when there are more keys.

    >>> causal_mask(3).astype("int64")
    Tensor([[1, 0, 0],
            [1, 1, 0],
            [1, 1, 1]])
    """
    queries, keys = _size("causal_mask", queries), _size("causal_mask", queries if keys is None else keys)
    return Tensor(np.tri(queries, keys, keys - queries, dtype=bool))


def sliding_window_mask(queries: int, window: int, keys: int | None = None) -> Tensor:
    """Each query sees its own place and the `window - 1` before it: boolean (T, S), aligned at the end.

    Source: Beltagy et al. 2020, Longformer, section 3.1.

    >>> sliding_window_mask(3, window=2).astype("int64")
    Tensor([[1, 0, 0],
            [1, 1, 0],
            [0, 1, 1]])
    """
    window = _size("sliding_window_mask", window)
    if window == 0:
        raise ValueError("sliding_window_mask: a window of 0 sees nothing; give 1 or more")
    causal = causal_mask(queries, keys).data
    rows, columns = causal.shape
    return Tensor(causal & ~np.tri(rows, columns, columns - rows - window, dtype=bool))


def padding_mask(tokens_count: Any, length: int | None = None) -> Tensor:
    """Where keys are tokens and not padding, for every query: boolean (B, 1, 1, T).

    `tokens_count` is either (B, T), 1 where a token counts, or the B lengths of sequences that are padded at their
    end to `length` (the longest, unless given). Raises ValueError for other shapes and values, TypeError for floats.

    >>> padding_mask([2, 3]).shape
    (2, 1, 1, 3)
    """
    given = np.asarray(tokens_count)
    if given.dtype.kind not in "biu":
        raise TypeError(f"padding_mask: dtype {given.dtype}; give lengths as integers, or (B, T) booleans or 0/1")
    if given.ndim == 1:
        if given.dtype.kind == "b" or (given < 0).any():
            raise ValueError(f"padding_mask: {given.tolist()} are not lengths; for one sequence give (1, T)")
        longest = int(given.max(initial=0))
        length = longest if length is None else length
        if length < longest:
            raise ValueError(f"padding_mask: a sequence of {longest} tokens does not fit into {length}")
        given = np.arange(length) < given[:, None]  # (B,) -> (B, T)
    if given.ndim != 2:
        raise ValueError(f"padding_mask: shape {given.shape}; give (B,) lengths, or (B, T) with 1 where a token counts")
    return Tensor(as_boolean("padding_mask", given)[:, None, None, :])


def combine_masks(*masks: Any) -> Tensor | None:
    """One mask that allows what all of them allow; floating-point ones are added. None stands for everything.

    >>> combine_masks(causal_mask(2), padding_mask([1])).shape
    (1, 1, 2, 2)
    """
    arrays = [np.asarray(mask) for mask in masks if mask is not None]
    if not arrays:
        return None
    try:
        np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise ValueError(
            f"combine_masks: {shapes} cannot be broadcast together; masks broadcast to (B, H, T, S)"
        ) from None
    if all(array.dtype.kind != "f" for array in arrays):
        allowed = as_boolean("combine_masks", arrays[0])
        for array in arrays[1:]:
            allowed = allowed & as_boolean("combine_masks", array)
        return Tensor(allowed)
    dtype = np.result_type(*(array.dtype for array in arrays if array.dtype.kind == "f"))
    total = additive("combine_masks", arrays[0], dtype)
    for array in arrays[1:]:
        total = total + additive("combine_masks", array, dtype)
    return Tensor(total, dtype)


def as_boolean(name: str, mask: Array) -> Array:
    """A 0/1 mask as booleans. Raises ValueError when it holds other numbers."""
    if mask.dtype.kind == "b":
        return mask
    if mask.size and (int(mask.min()) < 0 or int(mask.max()) > 1):
        raise ValueError(
            f"{name}: an integer mask with values from {mask.min()} to {mask.max()}; "
            "integers are 1 where a query may attend and 0 elsewhere, what is added to scores is floating point"
        )
    return mask.astype(bool)


def additive(name: str, mask: Array, dtype: Any) -> Array:
    """What a mask adds to the scores: 0 where a query may attend and minus infinity elsewhere, or itself."""
    if mask.dtype.kind == "f":
        return mask.astype(dtype, copy=False)
    return np.where(as_boolean(name, mask), dtype.type(0), dtype.type(-np.inf))


def _size(name: str, size: Any) -> int:
    if isinstance(size, bool) or not hasattr(size, "__index__") or size.__index__() < 0:
        raise TypeError(f"{name}: {size!r} is not a number of positions; give an int from 0")
    return int(size.__index__())
