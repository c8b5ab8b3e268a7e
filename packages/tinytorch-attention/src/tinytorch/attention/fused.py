"""Attention in blocks: the scores of all queries are never in memory at once.

A block is some queries of some heads, few enough that their scores stay in the cache while they are masked,
exponentiated and multiplied with the values. What is kept for the backward pass is each row's maximum and sum of
exponentials, from which the weights are computed once more: memory is linear in the length of the sequence. Rows are
divided by their sums where they are short: in the result, and in its gradient.

Source: Dao et al. 2022, FlashAttention, algorithms 1 and 4. Here a block sees whole rows and needs no running maximum.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import add_keys, add_mask, block_scores, blocks, empty_heads, group_heads, group_mask
from .readable import scaled_dot_product_attention
from .shapes import check_shapes

Saved = tuple[Array | None, Array]
"""The maximum of each row, None where it is not needed, and the sum of its exponentials."""


@primitive(fused=True)
def attention(
    q: Array, k: Array, v: Array, mask: Any = None, /, causal: bool = False, scale: float | None = None
) -> tuple[Array, Saved]:
    """softmax(q kᵀ / sqrt(D)) v, with memory linear in the number of queries and keys: (B, H, T, Dv).

    `q` is (B, H, T, D), `k` (B, Hkv, S, D), `v` (B, Hkv, S, Dv), H a multiple of Hkv. `mask` broadcasts to
    (B, H, T, S): true where a query may attend, or floating point, added to the scores. With `causal` query i sees the
    keys up to S - T + i. `scale` is 1 / sqrt(D) unless given. A query with nothing to attend to gets zeros.

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not floating point.
    `scaled_dot_product_attention` is the readable form.

    >>> x = Tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    >>> attention(x, x, x, causal=True)[0, 0, 0]
    Tensor([1., 0.])
    """
    check_shapes("attention", q, k, v, mask)
    if q.ndim != 4:
        raise ValueError(f"attention: q has the shape {q.shape}; it is (B, H, T, D), add the axes that are missing")
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    dtype = np.result_type(q, k, v)
    (B, H, T, _), (_, groups, S, Dv) = q.shape, v.shape
    queries, keys, values = group_heads(q, groups), k[:, :, None], v[:, :, None]
    mask = group_mask(mask, groups)
    out = empty_heads(B, H, T, Dv, dtype)
    grouped = group_heads(out, groups)
    sums = np.empty((*grouped.shape[:-1], 1), dtype)
    tops = None if scores_are_small(q, k, scale, mask, dtype) else np.empty_like(sums)
    ones = np.ones((S, 1), dtype)
    for block in blocks(queries.shape, S, causal, dtype.itemsize):
        weights = block_scores(queries[block.rows] * scale, keys[block.keys], block, mask)
        if tops is not None:  # the lowest number stands for the maximum of a row where all is forbidden
            weights -= np.max(weights, axis=-1, keepdims=True, initial=np.finfo(dtype).min, out=tops[block.rows])
        np.exp(weights, out=weights)
        total = np.matmul(weights, ones[: weights.shape[-1]], out=sums[block.rows])
        total[total == 0] = np.inf  # nothing to attend to: zeros here, and no gradient in the backward pass
        part = grouped[block.rows]
        np.matmul(weights, values[block.keys], out=part)
        part /= total
    return out, (tops, sums)


def scores_are_small(q: Array, k: Array, scale: float, mask: Array | None, dtype: np.dtype[Any]) -> bool:
    """Whether the scores can be exponentiated as they are: |q k| <= |q| |k|, and sums and products stay in range.

    Looking at q and k takes less time than looking for the maximum of each row, unless queries are few.
    """
    if q.shape[2] <= q.shape[3] or not k.size or (mask is not None and mask.dtype.kind == "f"):
        return False
    squares = [float(np.einsum("...d,...d->...", x, x).max(initial=0)) for x in (q, k)]
    return math.sqrt(squares[0] * squares[1]) * abs(scale) < math.log(np.finfo(dtype).max) / 3


def backward(
    g: Array, out: Array, saved: Saved, needs: tuple[bool, ...], q: Array, k: Array, v: Array, mask: Any,
    causal: bool = False, scale: float | None = None,
) -> tuple[Array | None, ...]:  # fmt: skip
    """With P the weights: dV = Pᵀ g, dP = g Vᵀ, dS = P (dP - rowsum(g out)), dQ = dS K scale, dK = dSᵀ Q scale."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    tops, sums = saved
    (B, H, T, D), (_, groups, S, Dv) = q.shape, v.shape
    queries, keys, values = group_heads(q, groups), k[:, :, None], v[:, :, None]
    outs, gs = group_heads(out, groups), group_heads(g, groups)
    allowed = group_mask(mask, groups)
    dq, dk, dv = (empty_heads(*shape, out.dtype) for shape in ((B, H, T, D), (B, groups, S, D), (B, groups, S, Dv)))
    grouped = group_heads(dq, groups)
    dmask = np.zeros(allowed.shape, out.dtype) if needs[3] and allowed is not None else None
    for block in blocks(queries.shape, S, causal, out.dtype.itemsize):
        scaled, k_seen = queries[block.rows] * scale, keys[block.keys]
        weights = block_scores(scaled, k_seen, block, allowed)
        if tops is not None:
            weights -= tops[block.rows]
        np.exp(weights, out=weights)
        share = gs[block.rows] / sums[block.rows]
        add_keys(dv, block, weights, share)
        dscores = np.matmul(share, values[block.keys].swapaxes(-1, -2))
        dscores -= np.einsum("...d,...d->...", share, outs[block.rows])[..., None]
        dscores *= weights
        add_keys(dk, block, dscores, scaled)
        part = grouped[block.rows]
        np.matmul(dscores, k_seen, out=part)
        part *= scale
        if dmask is not None:
            add_mask(dmask, block, dscores)
    return dq, dk, dv, None if dmask is None else dmask.reshape(np.shape(mask))


def composition(
    q: Tensor, k: Tensor, v: Tensor, mask: Any = None, causal: bool = False, scale: float | None = None
) -> Tensor:
    """The same out of simple primitives."""
    return scaled_dot_product_attention(q, k, v, mask, causal, scale)[0]


defvjp(attention, fused=backward, composition=composition)
