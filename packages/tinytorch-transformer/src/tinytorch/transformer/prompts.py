"""What generation continues: one prompt, or a batch of prompts, the shorter ones padded in front."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinytorch.tensor import Array, DTypeError, ShapeError, array_of


class Prompt(NamedTuple):
    """Prompts as an array."""

    ids: Array  # (B, T) integers
    valid: Array | None  # (B, T), false for padding; None when there is none
    single: bool  # whether one prompt (T,) was given and not a batch


def as_prompt(tokens: Any) -> Prompt:
    """One prompt (T,), a batch (B, T), or a list of prompts of different lengths.

    Shorter ones are padded in front, with their own first token: it is in the vocabulary, and in the row anyway.
    Raises DTypeError for tokens that are not integers, ShapeError for prompts without tokens.
    """
    if isinstance(tokens, list | tuple) and any(hasattr(row, "__len__") for row in tokens):
        rows = [_row(row) for row in tokens]
        longest = max(map(len, rows))
        ids = np.stack([np.concatenate([np.repeat(row[:1], longest - len(row)), row]) for row in rows])
        lengths = np.array([len(row) for row in rows])
        valid = np.arange(longest) >= longest - lengths[:, None]  # (B, T)
        return Prompt(ids, None if valid.all() else valid, False)
    array = array_of(tokens)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ShapeError(f"generate: a prompt of shape {array.shape}; give (T,) or (B, T) with at least one token each")
    _check_integers(array)
    return Prompt(array.reshape(-1, array.shape[-1]), None, array.ndim == 1)


def _row(row: Any) -> Array:
    array = np.asarray(row)
    if array.ndim != 1 or array.size == 0:
        raise ShapeError(f"generate: a batch with the prompt {row!r}; each is a row of at least one token")
    _check_integers(array)
    return array


def _check_integers(array: Array) -> None:
    if array.dtype.kind not in "iu":
        raise DTypeError(f"generate: a prompt of dtype {array.dtype}; tokens are integers")
