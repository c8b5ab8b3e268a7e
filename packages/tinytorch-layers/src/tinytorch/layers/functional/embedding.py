"""Rows of a table, looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, index_grad, primitive

from ..checks import extremes, row


@primitive(fused=True)
def embedding(weight: Array, indices: Array, /, padding_idx: int | None = None) -> tuple[Array, None]:
    """Row `indices[...]` of `weight`: (V, D), (...) integer -> (..., D). Row `padding_idx` gets no gradient.

    Raises TypeError for indices that are not integers, IndexError for one that is not a row, ValueError for a
    padding row that is not one.

    >>> embedding(Tensor([[1.0], [2.0]]), Tensor([1, 0, 1]))
    Tensor([[2.],
            [1.],
            [2.]])
    """
    indices = np.asarray(indices)
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight of shape {weight.shape}; it must be (rows, numbers in a row)")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"embedding: indices of dtype {indices.dtype}; they must be integers, use astype('int64')")
    count = weight.shape[0]
    if padding_idx is not None:
        row("embedding", "padding_idx", padding_idx, count)
    low, high = extremes(indices)
    if low < 0 or high >= count:
        what = f"embedding: index {low if low < 0 else high} in a table of {count} rows"
        raise IndexError(f"{what}; indices must lie between 0 and {count - 1}")
    return weight.take(indices, axis=0), None


def _backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...],
    weight: Array, indices: Array, padding_idx: int | None = None,
) -> tuple[Array, None]:  # fmt: skip
    dweight = index_grad.forward(g, shape=weight.shape, index=indices)
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight, None


def _by_parts(weight: Any, indices: Any, padding_idx: int | None = None) -> Tensor:
    if padding_idx is not None:
        learned = np.arange(weight.shape[0])[:, None] != padding_idx
        weight = np.where(learned, weight, weight.detach())
    return weight[indices]


defvjp(embedding, fused=_backward, composition=_by_parts, keep=("inputs",))
