"""Attention: the products stay with the matrix library, all that is between them is one pass over the scores.

A task is some heads of some sequences; it goes through their queries a few at a time, from the last to the first. The
tasks run on all cores, so the products of one task are small enough for the matrix library to compute on one.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np

from tinytorch.attention.fused import attention
from tinytorch.attention.shapes import check_shapes, scale_for
from tinytorch.attention.tiles import empty_heads, group_heads
from tinytorch.tensor import Array

from ..compiling import compiled
from ..serving import Unserved, serves, serves_gradient
from ..team import share
from .elementary import exp, largest

SCORES = 2**16
"""Scores that a task has in its cache at a time."""
ROWS = 64
"""Queries of a head that are computed together: more waste more above the diagonal of a causal mask."""
PRODUCT = 2**18
"""Multiplications up to which OpenBLAS computes a product on one core."""

Rows = tuple[slice, ...]


@compiled(reassociate=True)
def exponentiate_in_place(row: Array, scale: float, top: float) -> float:
    """Make each number exp(scale number - top); their sum. Written to another array, the same array would not do."""
    total = row.dtype.type(0)
    for j in range(row.size):
        row[j] = exp(scale * row[j] - top)
        total += row[j]
    return total


@compiled
def attend_rows(scores: Array, seen: int, scale: float, tops: Array, sums: Array) -> None:
    """Scores of which row r of each matrix sees the first `seen` + r, made weights in place: (n, t, s), (n, t), (n, t).

    weights = exp(scale scores - tops) / sums, of the maximum and the sum of each row; 0 where nothing is seen.
    """
    real = scores.dtype.type
    one, scale = real(1), real(scale)
    for i in range(scores.shape[0]):
        for r in range(scores.shape[1]):
            limit = min(max(seen + r, 0), scores.shape[2])
            row, rest = scores[i, r, :limit], scores[i, r, limit:]
            rest[:] = real(0)
            if limit == 0:
                tops[i, r], sums[i, r] = real(0), real(np.inf)
                continue
            top = scale * largest(row)
            total = exponentiate_in_place(row, scale, top)
            share = one / total
            for j in range(row.size):
                row[j] *= share
            tops[i, r], sums[i, r] = top, total


@compiled
def attend_again(scores: Array, seen: int, scale: float, tops: Array, sums: Array) -> None:
    """The same weights, with the maximum and the sum of each row known."""
    real = scores.dtype.type
    one, scale = real(1), real(scale)
    for i in range(scores.shape[0]):
        for r in range(scores.shape[1]):
            limit = min(max(seen + r, 0), scores.shape[2])
            row, rest = scores[i, r, :limit], scores[i, r, limit:]
            rest[:] = real(0)
            top, share = tops[i, r], one / sums[i, r]
            for j in range(row.size):
                row[j] = exp(row[j] * scale - top) * share


@compiled
def score_slopes(weights: Array, slopes: Array, means: Array, scale: float) -> None:
    """scale weights (slopes - means), in place of the slopes of the weights: (n, t, s), (n, t, s), (n, t)."""
    scale = weights.dtype.type(scale)
    for i in range(weights.shape[0]):
        for r in range(weights.shape[1]):
            row, slope, mean = weights[i, r], slopes[i, r], means[i, r]
            for j in range(row.size):
                slope[j] = row[j] * (slope[j] - mean) * scale


def tasks(batch: int, heads: int, group: int, rows: int, keys: int) -> list[Rows]:
    """Sequences and heads that are computed together, as indices of (B, Hkv, ...)."""
    together = max(1, min(SCORES // max(1, rows * keys * group), ceil(batch * heads / 4)))
    h = min(together, heads)
    b = max(1, together // heads)
    return [(slice(i, i + b), slice(j, j + h)) for i in range(0, batch, b) for j in range(0, heads, h)]


def tiles(queries: int, keys: int, causal: bool) -> Iterator[tuple[slice, int, int]]:
    """Queries, from the last to the first; how many keys they see together, and the first of them."""
    for end in range(queries, 0, -ROWS):
        start = max(end - ROWS, 0)
        if causal:
            yield slice(start, end), max(keys - queries + end, 0), keys - queries + start + 1
        else:
            yield slice(start, end), keys, keys


def product(x: Array, y: Array, out: Array | None = None) -> Array:
    """x @ y of stacks of matrices, the rows of x in as many parts as it takes for products that one core computes."""
    *stack, n, m = x.shape
    parts = next((c for c in range(1, n + 1) if n % c == 0 and n // c * m * y.shape[-1] <= PRODUCT), 1)
    if parts == 1 or n // parts < 8:
        return np.matmul(x, y, out=out)
    if out is None:
        out = np.empty((*stack, n, y.shape[-1]), x.dtype)
    cut = (parts, n // parts)
    np.matmul(x.reshape(*stack, *cut, m), y[..., None, :, :], out=out.reshape(*stack, *cut, out.shape[-1]))
    return out


def turned(x: Array) -> Array:
    """(..., S, D) -> (..., D, S), laid out as it is read: products with a view that is turned take twice the time."""
    return np.ascontiguousarray(x.swapaxes(-1, -2))


def _refuse(q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float | None) -> Unserved | None:
    if mask is not None:
        return Unserved("a mask")
    if not all(type(x) is np.ndarray and x.ndim == 4 for x in (q, k, v)):
        return Unserved("not arrays of four axes")
    if not q.dtype == k.dtype == v.dtype or q.dtype not in (np.float32, np.float64):
        return Unserved(f"dtypes {q.dtype}, {k.dtype} and {v.dtype}")
    if q.shape[2] < 2 or not q.size or not k.size or not v.size:
        return Unserved(f"queries of shape {q.shape} and keys of shape {k.shape}")
    if causal and q.shape[2] > k.shape[2]:
        return Unserved("queries that see no keys")
    if scale is not None and not scale > 0:
        return Unserved("a scale that is not positive")
    return None


@serves(attention)
def attend(q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False, scale: float | None = None) -> Any:
    if (reason := _refuse(q, k, v, mask, causal, scale)) is not None:
        return reason
    check_shapes("attention", q, k, v, mask, axes=4)
    scale = scale_for(q, scale)
    (B, H, T, _), (_, groups, S, Dv) = q.shape, v.shape
    queries, keys, values = group_heads(q, groups), k[:, :, None], v[:, :, None]  # (B, Hkv, G, T, D), (B, Hkv, 1, S, D)
    out = empty_heads(B, H, T, Dv, q.dtype)
    grouped = group_heads(out, groups)  # (B, Hkv, G, T, Dv), the same memory
    tops, sums = np.empty((2, *grouped.shape[:-1], 1), q.dtype)
    parts = tasks(B, groups, H // groups, min(T, ROWS), S)

    def compute(part: int) -> None:
        some = parts[part]
        key, value = turned(keys[some]), values[some]
        for t, seen, first in tiles(T, S, causal):
            where = (*some, slice(None), t)
            weights = product(queries[where], key[..., :seen])
            flat = weights.reshape(-1, *weights.shape[-2:])  # (b h G, t, s)
            top, total = np.empty((2, *weights.shape[:-1], 1), q.dtype)
            attend_rows(flat, first, scale, top.reshape(flat.shape[:2]), total.reshape(flat.shape[:2]))
            tops[where], sums[where] = top, total
            product(weights, value[..., :seen, :], grouped[where])

    share(compute, len(parts))
    return out, (tops, sums)


@serves_gradient(attention)
def attend_backward(
    g: Array, out: Array, saved: Any, needs: Any, q: Any, k: Any, v: Any, mask: Any = None,
    causal: bool = False, scale: float | None = None,
) -> Any:  # fmt: skip
    if (reason := _refuse(q, k, v, mask, causal, scale)) is not None:
        return reason
    if g.dtype != q.dtype:
        return Unserved(f"a gradient of dtype {g.dtype}")
    scale = scale_for(q, scale)
    (B, H, T, D), (_, groups, S, Dv) = q.shape, v.shape
    queries, keys, values = group_heads(q, groups), k[:, :, None], v[:, :, None]
    outs, gs = group_heads(out, groups), group_heads(g, groups)  # (B, Hkv, G, T, Dv)
    sums = saved[1]
    tops = np.zeros_like(sums) if saved[0] is None else saved[0]
    dq, dk, dv = (empty_heads(*shape, q.dtype) for shape in ((B, H, T, D), (B, groups, S, D), (B, groups, S, Dv)))
    grouped = group_heads(dq, groups)
    parts = tasks(B, groups, H // groups, min(T, ROWS), S)

    def compute(part: int) -> None:
        some = parts[part]
        key, turned_key, turned_value = keys[some], turned(keys[some]), turned(values[some])
        for t, seen, first in tiles(T, S, causal):
            where, before = (*some, slice(None), t), (*some, slice(seen))
            slope, query = np.ascontiguousarray(gs[where]), np.ascontiguousarray(queries[where])
            weights = product(query, turned_key[..., :seen])
            flat = weights.reshape(-1, *weights.shape[-2:])  # (b h G, t, s)
            top, total = (np.ascontiguousarray(each[where]).reshape(flat.shape[:2]) for each in (tops, sums))
            attend_again(flat, first, scale, top, total)
            add_to_keys(dv[before], weights, slope, t.stop == T)
            slopes = product(slope, turned_value[..., :seen])  # (b, h, G, t, s)
            means = np.vecdot(slope, outs[where]).reshape(flat.shape[:2])
            score_slopes(flat, slopes.reshape(flat.shape), means, scale)
            add_to_keys(dk[before], slopes, query, t.stop == T)
            product(slopes, key[..., :seen, :], grouped[where])

    share(compute, len(parts))
    return dq, dk, dv, None


def add_to_keys(target: Array, weights: Array, x: Array, first: bool) -> None:
    """Add weightsᵀ x, summed over the heads that share keys: (b, h, s, D), (b, h, G, t, s), (b, h, G, t, D)."""
    b, h, group, t, s = weights.shape
    weights, x = weights.reshape(b, h, group * t, s).swapaxes(-1, -2), x.reshape(b, h, group * t, x.shape[-1])
    if first:
        product(weights, x, target)  # the last queries see all keys
    else:
        target += product(weights, x)
