"""The gradient of an embedding: the rows of the gradient added up where they came from."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import functional as F
from tinytorch.tensor import Array

from ..compiling import compiled
from ..serving import Unserved, serves_gradient
from .served import BLOCK, unserved

COLUMNS = 64
"""Columns that a core takes at a time: the rows of different tokens may be the same, the columns are not."""


@compiled
def add_rows(start: int, stop: int, g: Array, indices: Array, out: Array) -> None:
    """out[indices[i]] += g[i] in the columns from `start` to `stop`: (n, D), (n,), (V, D)."""
    for i in range(indices.size):
        row, part = out[indices[i], start:stop], g[i, start:stop]
        for j in range(row.size):
            row[j] += part[j]


@serves_gradient(F.embedding)
def embedding_backward(
    g: Array, out: Any, saved: None, needs: Any, weight: Any, indices: Any, padding_idx: int | None = None
) -> Any:
    if (reason := unserved(g)) is not None:
        return reason
    if g.dtype != weight.dtype or not g.size:
        return Unserved(f"a gradient of shape {g.shape} and dtype {g.dtype} for a table of {weight.dtype}")
    dweight = np.zeros(weight.shape, g.dtype)
    places = np.ascontiguousarray(np.asarray(indices).reshape(-1), np.int64)
    width = weight.shape[1]
    add_rows.over(width, width if g.size < BLOCK else COLUMNS, g.reshape(-1, width), places, dweight)
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight, None
