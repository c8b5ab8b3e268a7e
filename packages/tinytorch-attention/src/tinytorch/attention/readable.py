"""Attention as it is defined, one operation after the other. `fused.py` computes the same in less time and memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor, where

from .masks import causal_mask, read_mask
from .shapes import check_shapes, scale_for


def scaled_dot_product_attention(
    Q: Tensor, K: Tensor, V: Tensor, mask: Any = None, causal: bool = False, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / sqrt(D)) V, and the weights: ((..., H, T, Dv), (..., H, T, S)).

    `Q` is (..., H, T, D), `K` (..., Hkv, S, D) and `V` (..., Hkv, S, Dv); H is a multiple of Hkv, and each head of
    keys and values serves H / Hkv neighboring heads of queries. `mask` broadcasts to (..., H, T, S): true where a
    query may attend, or floating point, added to the scores. With `causal` query i sees the keys up to S - T + i.
    `scale` is 1 / sqrt(D) unless given. A query that may attend to nothing gets zeros.

    Raises ShapeError for shapes that do not fit, DTypeError for dtypes that are not floating point, ValueError for a
    floating-point mask of zeros and ones.

    Source: Vaswani et al. 2017, Attention Is All You Need, equation 1; grouped heads: Ainslie et al. 2023, GQA.

    >>> keys = Tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> output, weights = scaled_dot_product_attention(keys, keys, keys, causal=True)
    >>> weights[0]
    Tensor([1., 0.])
    """
    check_shapes("scaled_dot_product_attention", Q, K, V, mask)
    K, V = repeat_heads(K, Q), repeat_heads(V, Q)  # (..., Hkv, S, D) -> (..., H, S, D)
    scores = Q @ K.mT * scale_for(Q, scale)  # (..., T, D) @ (..., D, S) -> (..., T, S)
    scores = apply_mask(scores, mask)
    if causal:
        scores = apply_mask(scores, causal_mask(*scores.shape[-2:]))
    weights = softmax_or_zero(scores)  # (..., T, S), rows that sum to 1
    return weights @ V, weights  # (..., T, S) @ (..., S, Dv) -> (..., T, Dv)


def repeat_heads(x: Tensor, like: Tensor) -> Tensor:
    """Each head of `x` (..., Hkv, S, D) as often as makes the heads of `like`: (..., H, S, D)."""
    if x.ndim < 3 or x.shape[-3] == like.shape[-3]:
        return x
    *batch, groups, keys, width = x.shape
    times = like.shape[-3] // groups
    repeated = x.unsqueeze(-3).broadcast_to((*batch, groups, times, keys, width))  # (..., Hkv, H / Hkv, S, D)
    return repeated.reshape(*batch, groups * times, keys, width)


def apply_mask(scores: Tensor, mask: Any) -> Tensor:
    """`scores` (..., T, S), with minus infinity where `mask` forbids."""
    if mask is None:
        return scores
    read = read_mask("scaled_dot_product_attention", mask)
    return scores + mask if read.dtype.kind == "f" else where(read, scores, -np.inf)


def softmax_or_zero(scores: Tensor) -> Tensor:
    """Softmax over the last axis, and zeros for a row in which all is minus infinity."""
    if scores.shape[-1] == 0:
        return scores
    empty = scores.data.max(axis=-1, keepdims=True) == -np.inf  # (..., T, 1)
    return where(empty, 0.0, F.softmax(where(empty, 0.0, scores)))
