"""Attention as it is defined, one operation after the other. `fused.py` computes the same in less time and memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.tensor import Tensor, where

from .masks import as_boolean, causal_mask
from .shapes import check_shapes


def scaled_dot_product_attention(
    Q: Tensor, K: Tensor, V: Tensor, mask: Any = None, causal: bool = False, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / sqrt(d)) V, and the weights: ((..., H, T, Dv), (..., H, T, S)).

    `Q` is (..., H, T, D), `K` (..., H, S, D) and `V` (..., H, S, Dv); K and V may have fewer heads, each then serves
    H / Hkv neighbouring queries' heads. `mask` broadcasts to (..., H, T, S): true where a query may attend, or
    floating point, added to the scores. With `causal` query i sees the keys up to S - T + i. `scale` is 1 / sqrt(D)
    unless given. A query with nothing to attend to gets zeros.

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not floating point.

    Source: Vaswani et al. 2017, Attention Is All You Need, equation 1; grouped heads: Ainslie et al. 2023, GQA.

    >>> keys = Tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> output, weights = scaled_dot_product_attention(keys, keys, keys, causal=True)
    >>> weights[0]
    Tensor([1., 0.])
    """
    check_shapes("scaled_dot_product_attention", Q, K, V, mask)
    K, V = repeat_heads(K, Q), repeat_heads(V, Q)
    scores = Q @ K.mT * (1 / math.sqrt(Q.shape[-1]) if scale is None else scale)  # (..., T, S)
    for allowed in (mask, causal_mask(*scores.shape[-2:]) if causal else None):
        scores = masked(scores, allowed)
    weights = softmax_or_zero(scores)
    return weights @ V, weights  # (..., T, S) @ (..., S, Dv)


def repeat_heads(x: Tensor, like: Tensor) -> Tensor:
    """Each head of `x` (..., Hkv, S, D) as often as makes the heads of `like` (..., H, T, D)."""
    if x.ndim < 3 or x.shape[-3] == like.shape[-3]:
        return x
    *batch, heads, keys, width = x.shape
    times = like.shape[-3] // heads
    repeated = x.unsqueeze(-3).broadcast_to((*batch, heads, times, keys, width))
    return repeated.reshape(*batch, heads * times, keys, width)


def masked(scores: Tensor, mask: Any) -> Tensor:
    """`scores` with what `mask` forbids at minus infinity."""
    if mask is None:
        return scores
    if np.dtype(mask.dtype if hasattr(mask, "dtype") else np.asarray(mask).dtype).kind == "f":
        return scores + mask
    return where(as_boolean("scaled_dot_product_attention", np.asarray(mask)), scores, -np.inf)


def softmax_or_zero(scores: Tensor) -> Tensor:
    """Softmax over the last axis, and zeros for a row that is minus infinity throughout."""
    if scores.shape[-1] == 0:
        return scores
    with no_grad():  # a shift changes no result and carries no gradient
        top = scores.max(axis=-1, keepdims=True).clip(low=float(np.finfo(scores.dtype).min))
    exponentials = (scores - top).exp()
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / where(total.data == 0, 1.0, total)
