"""What generation continues: one prompt, or a batch of prompts, the shorter ones padded in front."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinytorch.tensor import Array, ShapeError, array_of

from .tokens import as_tokens


class Prompt(NamedTuple):
    """Prompts as an array."""

    ids: Array  # (B, T)
    valid: Array | None  # (B, T), false for padding; None when there is none
    single: bool  # whether one prompt (T,) was given and not a batch


def as_prompt(tokens: Any) -> Prompt:
    """One prompt (T,), a batch (B, T), or a list of prompts of different lengths.

    Shorter ones are padded in front, with their own first token: it is in the vocabulary, and in the row anyway.
    Raises DTypeError for tokens that are not integers, ShapeError for prompts without tokens.
    """
    if isinstance(tokens, list | tuple) and any(hasattr(row, "__len__") for row in tokens):
        rows = [as_tokens("generate", array_of(row)[None])[0] for row in tokens]
        longest = max(map(len, rows))
        ids = np.stack([np.concatenate([np.repeat(row[:1], longest - len(row)), row]) for row in rows])  # (B, T)
        lengths = np.array([len(row) for row in rows])
        valid = np.arange(longest) >= longest - lengths[:, None]  # (B, T)
        return Prompt(ids, None if valid.all() else valid, False)
    array = array_of(tokens)
    if array.size == 0:
        raise ShapeError(f"generate: a prompt of shape {array.shape}; give (T,) or (B, T) with at least one token each")
    return Prompt(as_tokens("generate", array[None] if array.ndim == 1 else array), None, array.ndim == 1)
