"""What models take as tokens and as masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor


def as_tokens(name: str, tokens: Any) -> Array:
    """`tokens` as an array (B, T) of integers. Raises TypeError for other dtypes, ValueError for other shapes."""
    ids = tokens.data if isinstance(tokens, Tensor) else np.asarray(tokens)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name}: tokens of dtype {ids.dtype}; they are integers, convert with astype('int64')")
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise ValueError(f"{name}: tokens of shape {ids.shape}; the form is (B, T) with at least one token each")
    return ids


def token_mask(name: str, mask: Any, ids: Array) -> Array | None:
    """`mask`, 1 where a token counts, as booleans (B, S), where S is T unless keys from before are attended to."""
    if mask is None:
        return None
    counts = np.asarray(mask)
    if counts.dtype.kind not in "biu" or counts.ndim != 2 or len(counts) != len(ids) or counts.shape[1] < ids.shape[1]:
        raise ValueError(
            f"{name}: a mask of shape {counts.shape} and dtype {counts.dtype} for tokens of shape {ids.shape}; "
            "it is (B, T), 1 or true where a token counts"
        )
    return counts.astype(bool)


def valid_positions(counts: Array, length: int) -> Array:
    """Positions that count only the tokens that count, of the last `length` ones: (B, S) -> (B, length)."""
    return np.maximum(np.cumsum(counts, axis=1) - 1, 0)[:, -length:]
