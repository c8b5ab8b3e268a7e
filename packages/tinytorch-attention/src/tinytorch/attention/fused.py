"""Attention in blocks: the scores of all queries are never in memory at once.

A block is some queries of some heads, few enough that their scores stay in the cache while they are masked,
exponentiated and multiplied with the values. What is kept for the backward pass is the logarithm of each row's sum of
exponentials, from which the weights are computed once more: memory is linear in the length of the sequence.

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


@primitive(fused=True)
def attention(
    q: Array, k: Array, v: Array, mask: Any = None, /, causal: bool = False, scale: float | None = None
) -> tuple[Array, Array]:
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
    log_sums = np.empty((*grouped.shape[:-1], 1), dtype)
    for block in blocks(queries.shape, S, causal, dtype.itemsize):
        weights = block_scores(queries[block.rows] * scale, keys[block.keys], block, mask)
        top = weights.max(axis=-1, keepdims=True, initial=np.finfo(dtype).min)  # finite also where all is forbidden
        weights -= top
        np.exp(weights, out=weights)
        total = weights.sum(axis=-1, keepdims=True)
        total[total == 0] = np.inf  # nothing to attend to: zeros here, and weights of zero in the backward pass
        part = grouped[block.rows]
        np.matmul(weights, values[block.keys], out=part)
        part /= total
        np.log(total, out=total)
        np.add(total, top, out=log_sums[block.rows])
    return out, log_sums


def backward(
    g: Array, out: Array, log_sums: Array, needs: tuple[bool, ...], q: Array, k: Array, v: Array, mask: Any,
    causal: bool = False, scale: float | None = None,
) -> tuple[Array | None, ...]:  # fmt: skip
    """With P the weights: dV = Pᵀ g, dP = g Vᵀ, dS = P (dP - rowsum(g out)), dQ = dS K scale, dK = dSᵀ Q scale."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    dtype = out.dtype
    (B, H, T, D), (_, groups, S, Dv) = q.shape, v.shape
    queries, keys, values = group_heads(q, groups), k[:, :, None], v[:, :, None]
    outs, gs = group_heads(out, groups), group_heads(g, groups)
    allowed = group_mask(mask, groups)
    dq, dk, dv = (
        empty_heads(B, H, T, D, dtype),
        empty_heads(B, groups, S, D, dtype),
        empty_heads(B, groups, S, Dv, dtype),
    )
    grouped = group_heads(dq, groups)
    dmask = np.zeros(allowed.shape, dtype) if needs[3] and allowed is not None else None
    for block in blocks(queries.shape, S, causal, dtype.itemsize):
        scaled, k_seen, g_rows = queries[block.rows] * scale, keys[block.keys], gs[block.rows]
        weights = block_scores(scaled, k_seen, block, allowed)
        weights -= log_sums[block.rows]
        np.exp(weights, out=weights)
        add_keys(dv, block, weights, g_rows)
        dscores = np.matmul(g_rows, values[block.keys].swapaxes(-1, -2))
        dscores -= (g_rows * outs[block.rows]).sum(axis=-1, keepdims=True)
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
