"""What generation continues: one prompt, or a batch whose shorter rows are filled up in front."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinytorch.tensor import Array, Tensor


class Prompt(NamedTuple):
    """Prompts as an array."""

    ids: Array  # (B, T) integers
    counts: Array | None  # (B, T), true where a token counts; None when all do
    single: bool  # whether one prompt (T,) was given and not a batch


def as_prompt(tokens: Any) -> Prompt:
    """One prompt (T,), a batch (B, T), or a list of prompts of different lengths.

    Shorter ones are filled up in front, with their own first token: it is a token of the vocabulary, and one that the
    row has anyway. Raises TypeError for tokens that are not integers, ValueError for prompts without tokens.
    """
    if isinstance(tokens, list | tuple) and any(hasattr(row, "__len__") for row in tokens):
        rows = [_row(row) for row in tokens]
        longest = max(map(len, rows))
        ids = np.stack([np.concatenate([np.repeat(row[:1], longest - len(row)), row]) for row in rows])
        lengths = np.array([len(row) for row in rows])
        counts = np.arange(longest) >= longest - lengths[:, None]
        return Prompt(ids, None if counts.all() else counts, False)
    array = tokens.data if isinstance(tokens, Tensor) else np.asarray(tokens)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"generate: a prompt of shape {array.shape}; give (T,) or (B, T) with at least one token each")
    _check_integers(array)
    return Prompt(array.reshape(-1, array.shape[-1]), None, array.ndim == 1)


def check_count(new: Any) -> None:
    """Refuse a number of new tokens that is no int from 0."""
    if isinstance(new, bool) or not hasattr(new, "__index__") or new < 0:
        raise ValueError(f"generate: max_new_tokens is {new!r}; it must be an int from 0")


def _row(row: Any) -> Array:
    array = np.asarray(row)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"generate: a batch with the prompt {row!r}; each is a row of at least one token")
    _check_integers(array)
    return array


def _check_integers(array: Array) -> None:
    if array.dtype.kind not in "iu":
        raise TypeError(f"generate: a prompt of dtype {array.dtype}; tokens are integers")
