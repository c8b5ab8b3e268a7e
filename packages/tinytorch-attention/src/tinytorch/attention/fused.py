"""Attention in tiles: the scores of all queries are never in memory at once.

A tile is some queries of some heads, few enough that their scores stay in the cache while they are masked,
exponentiated and multiplied with the values. The backward pass needs each row's maximum and sum of exponentials, from
which it computes the weights again: memory is linear in the length of the sequence. Division by the sums is done where
rows are short: in the result, and in its gradient.

Source: Dao et al. 2022, FlashAttention, algorithms 1 and 4. Here a tile sees whole rows and needs no running maximum.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, primitive

from .readable import scaled_dot_product_attention
from .shapes import check_shapes, scale_for
from .tiles import add_keys, add_mask, cut, empty_heads, group_heads, group_mask, tile_scores

Saved = tuple[Array | None, Array]
"""The maximum of each row, or None where no row needs it, and the sum of its exponentials."""


@primitive(fused=True, upcast=True)
def attention(
    q: Array, k: Array, v: Array, mask: Any = None, /, causal: bool = False, scale: float | None = None
) -> tuple[Array, Saved]:
    """softmax(q kᵀ / sqrt(D)) v, with memory linear in the number of queries and keys: (B, H, T, Dv).

    `scaled_dot_product_attention` is the readable form. It describes the arguments and what is raised; here `q` is
    (B, H, T, D), `k` (B, Hkv, S, D), `v` (B, Hkv, S, Dv), and float16 is computed in float32.

    >>> from tinytorch.tensor import Tensor
    >>> x = Tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    >>> attention(x, x, x, causal=True)[0, 0, 0]
    Tensor([1., 0.])
    """
    check_shapes("attention", q, k, v, mask, axes=4)
    scale = scale_for(q, scale)
    (B, H, T, _), (_, groups, S, Dv) = q.shape, v.shape
    if T == 1:
        return attend_one(q, k, v, None if mask is None else group_mask(mask, groups), scale)
    dtype = np.result_type(q, k, v)
    queries, keys, values = group_heads(q, groups), k[:, :, None], v[:, :, None]  # (B, Hkv, G, T, D), (B, Hkv, 1, S, D)
    mask = group_mask(mask, groups)  # broadcasts to (B, Hkv, G, T, S)
    out = empty_heads(B, H, T, Dv, dtype)
    grouped = group_heads(out, groups)  # (B, Hkv, G, T, Dv), the same memory
    sums = np.empty((*grouped.shape[:-1], 1), dtype)
    tops = None if scores_are_small(q, k, scale, mask, dtype) else np.empty_like(sums)
    ones = np.ones((S, 1), dtype)
    for tile in cut(queries.shape, S, causal, dtype.itemsize):
        weights = tile_scores(queries[tile.rows] * scale, keys[tile.keys], tile, mask)  # (b, h, G, t, s)
        if tops is not None:  # the lowest number stands for the maximum of a row where all is forbidden
            weights -= np.max(weights, axis=-1, keepdims=True, initial=np.finfo(dtype).min, out=tops[tile.rows])
        np.exp(weights, out=weights)
        total = np.matmul(weights, ones[: weights.shape[-1]], out=sums[tile.rows])  # (b, h, G, t, 1)
        total[total == 0] = np.inf  # nothing to attend to: zeros here, and no gradient in the backward pass
        part = grouped[tile.rows]
        np.matmul(weights, values[tile.keys], out=part)  # (b, h, G, t, s) @ (b, h, 1, s, Dv) -> (b, h, G, t, Dv)
        part /= total
    return out, (tops, sums)


def attend_one(q: Array, k: Array, v: Array, mask: Array | None, scale: float) -> tuple[Array, Saved]:
    """The same for a single query, which sees all keys and needs no tiles: a token that is generated."""
    (B, H, _, D), (_, groups, S, Dv) = q.shape, v.shape
    scores = np.matmul(q.reshape(B, groups, H // groups, D) * scale, k.swapaxes(-1, -2))  # (B, Hkv, G, S)
    if mask is not None:
        mask = mask[..., 0, :]  # broadcasts to (B, Hkv, G, S)
        if mask.dtype.kind == "f":
            scores += mask
        else:
            np.copyto(scores, -np.inf, where=~mask)
    some = mask is None and k.size > 0  # else the lowest number stands for the maximum where all is forbidden
    lowest = {} if some else {"initial": np.finfo(scores.dtype).min}
    weights = scores.reshape(B * H, S)  # the same memory, with fewer axes to go through
    tops = np.maximum.reduce(weights, axis=1, keepdims=True, **lowest)  # (B H, 1)
    weights -= tops
    np.exp(weights, out=weights)
    sums = np.add.reduce(weights, axis=1, keepdims=True)
    if not some:
        sums[sums == 0] = np.inf
    out = np.matmul(scores, v).reshape(B * H, Dv)  # (B, Hkv, G, S) @ (B, Hkv, S, Dv) -> (B, Hkv, G, Dv)
    out /= sums
    return out.reshape(B, H, 1, Dv), (tops, sums)


def scores_are_small(q: Array, k: Array, scale: float, mask: Array | None, dtype: np.dtype[Any]) -> bool:
    """Whether the scores can be exponentiated as they are: |q k| <= |q| |k|, and sums and products stay in range.

    Reading q and k takes less time than finding the maximum of each row, unless queries are few.
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
    scale = scale_for(q, scale)
    (B, H, T, D), (_, groups, S, Dv) = q.shape, v.shape
    tops, sums = (None if each is None else each.reshape(B, groups, H // groups, T, 1) for each in saved)
    assert sums is not None
    queries, keys, values = group_heads(q, groups), k[:, :, None], v[:, :, None]  # (B, Hkv, G, T, D), (B, Hkv, 1, S, D)
    outs, gs = group_heads(out, groups), group_heads(g, groups)  # (B, Hkv, G, T, Dv)
    allowed = group_mask(mask, groups)
    dq, dk, dv = (empty_heads(*shape, out.dtype) for shape in ((B, H, T, D), (B, groups, S, D), (B, groups, S, Dv)))
    grouped = group_heads(dq, groups)
    dmask = np.zeros(allowed.shape, out.dtype) if needs[3] and allowed is not None else None
    for tile in cut(queries.shape, S, causal, out.dtype.itemsize):
        scaled, k_seen = queries[tile.rows] * scale, keys[tile.keys]  # (b, h, G, t, D), (b, h, 1, s, D)
        weights = tile_scores(scaled, k_seen, tile, allowed)  # (b, h, G, t, s)
        if tops is not None:
            weights -= tops[tile.rows]
        np.exp(weights, out=weights)
        share = gs[tile.rows] / sums[tile.rows]  # (b, h, G, t, Dv)
        add_keys(dv, tile, weights, share)
        dscores = np.matmul(share, values[tile.keys].swapaxes(-1, -2))  # @ (b, h, 1, Dv, s) -> (b, h, G, t, s)
        dscores -= np.einsum("...d,...d->...", share, outs[tile.rows])[..., None]
        dscores *= weights
        add_keys(dk, tile, dscores, scaled)
        part = grouped[tile.rows]
        np.matmul(dscores, k_seen, out=part)  # (b, h, G, t, s) @ (b, h, 1, s, D) -> (b, h, G, t, D)
        part *= scale
        if dmask is not None:
            add_mask(dmask, tile, dscores)
    return dq, dk, dv, None if dmask is None else dmask.reshape(np.shape(mask))


defvjp(attention, fused=backward, composition=lambda *args, **params: scaled_dot_product_attention(*args, **params)[0])
