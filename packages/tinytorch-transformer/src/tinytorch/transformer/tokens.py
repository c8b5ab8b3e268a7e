"""Tokens and masks as models take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array, DTypeError, ShapeError, array_of


def as_tokens(name: str, tokens: Any) -> Array:
    """`tokens` as an array (B, T) of integers. Raises DTypeError for other dtypes, ShapeError for other shapes."""
    ids = array_of(tokens)
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise ShapeError(f"{name}: tokens of shape {ids.shape}; the form is (B, T) with at least one token each")
    if ids.dtype.kind not in "iu":
        raise DTypeError(f"{name}: tokens of dtype {ids.dtype}; they are integers, convert with astype('int64')")
    return ids


def visible_keys(name: str, mask: Any, ids: Array) -> Array | None:
    """`mask` (B, S), 1 for a token and 0 for padding, as booleans (B, 1, 1, S); S is T, or more with earlier keys."""
    if mask is None:
        return None
    valid = array_of(mask)
    if valid.dtype.kind not in "biu" or valid.ndim != 2 or len(valid) != len(ids) or valid.shape[1] < ids.shape[1]:
        what = f"{name}: a mask of shape {valid.shape} and dtype {valid.dtype} for tokens of shape {ids.shape}"
        raise ShapeError(f"{what}; it is (B, T), 1 or true for a token and 0 or false for padding")
    return valid.astype(bool)[:, None, None]


def valid_positions(visible: Array, length: int) -> Array:
    """Positions that count tokens and not padding, of the last `length` tokens: (B, 1, 1, S) -> (B, length)."""
    return np.maximum(np.cumsum(visible[:, 0, 0], axis=1) - 1, 0)[:, -length:]
