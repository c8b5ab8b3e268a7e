"""Cutting attention into tiles: some queries of some heads, few enough that their scores fit into the cache."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinytorch.tensor import Array

from .masks import read_mask

SCORES_BYTES = 2**19
"""How large the scores of one tile may be: they are read several times, and should stay in the cache."""

ROWS = (32, 64)
"""How many queries of a head a tile has: a fourth of the keys, within these. Fewer waste less above the diagonal."""


class Tile(NamedTuple):
    """Some queries of some heads of some sequences, with the keys that they may see, as indices into grouped heads."""

    rows: tuple[slice, ...]  # of (B, Hkv, G, T, ...)
    keys: tuple[slice, ...]  # of (B, Hkv, 1, S, ...)
    diagonal: int | None  # how many keys the first query sees, when causal; may be negative
    last: bool  # whether these are the last queries, which see all keys


def cut(shape: tuple[int, ...], keys: int, causal: bool, itemsize: int) -> Iterator[Tile]:
    """The tiles of queries grouped as (B, Hkv, G, T, D), for each group of heads from the last query to the first."""
    B, heads, group, T, _ = shape
    row_bytes = max(group * keys * itemsize, 1)
    rows = max(min(max(keys // 4, ROWS[0]), ROWS[1], T, SCORES_BYTES // row_bytes), 1)
    heads_at_once = min(max(SCORES_BYTES // (rows * row_bytes), 1), max(heads, 1))
    batch_at_once = max(SCORES_BYTES // (rows * row_bytes * max(heads, 1)), 1)
    every = slice(None)
    for b in range(0, B, batch_at_once):
        for h in range(0, heads, heads_at_once):
            some = (slice(b, b + batch_at_once), slice(h, h + heads_at_once), every)
            for end in range(T, min(T, 1) - 1, -rows):
                start = max(end - rows, 0)
                seen = max(keys - T + end, 0) if causal else keys
                diagonal = keys - T + start + 1 if causal else None
                yield Tile((*some, slice(start, end)), (*some, slice(0, seen)), diagonal, end == T)


def group_heads(x: Array, groups: int) -> Array:
    """(B, H, T, D) -> (B, groups, H / groups, T, D), a view: the heads that share keys and values side by side."""
    B, H, T, D = x.shape
    return x.reshape(B, groups, H // groups, T, D)


def empty_heads(B: int, H: int, T: int, D: int, dtype: Any) -> Array:
    """(B, H, T, D) laid out in memory as (B, T, H, D), so that joining the heads to (B, T, H D) copies nothing."""
    return np.empty((B, T, H, D), dtype).transpose(0, 2, 1, 3)


def group_mask(mask: Any, groups: int) -> Array | None:
    """A mask that broadcasts to (B, H, T, S) as one that broadcasts to (B, groups, H / groups, T, S)."""
    if mask is None:
        return None
    read = read_mask("attention", mask)
    B, H, T, S = (1,) * (4 - read.ndim) + read.shape
    return read.reshape((B, 1, 1, T, S) if H == 1 else (B, groups, H // groups, T, S))


def part_of_mask(mask: Array, tile: Tile) -> Array:
    """The part of a grouped mask that is for the scores of `tile`: a view; axes that broadcast stay as they are."""
    index = (*tile.rows, tile.keys[3])
    return mask[tuple(slice(None) if size == 1 else each for size, each in zip(mask.shape, index, strict=True))]


def tile_scores(q: Array, k: Array, tile: Tile, mask: Array | None) -> Array:
    """q kᵀ with minus infinity where a query may not attend: (b, h, G, t, D), (b, h, 1, s, D) -> (b, h, G, t, s)."""
    scores: Array = np.matmul(q, k.swapaxes(-1, -2))
    if mask is not None:
        part = part_of_mask(mask, tile)
        if part.dtype.kind == "f":
            scores += part
        else:
            np.copyto(scores, -np.inf, where=~part)
    if tile.diagonal is not None:
        rows, keys = scores.shape[-2:]
        first = min(max(tile.diagonal, 0), keys)  # all queries of the tile see the keys before it
        if first < keys:  # written and not added: what is forbidden may be NaN
            np.copyto(scores[..., first:], -np.inf, where=_above(rows, keys - first, tile.diagonal - first))
    return scores


@functools.lru_cache(maxsize=32)
def _above(rows: int, columns: int, seen: int) -> Array:
    """True where row i, which sees the first `seen + i` columns, does not see."""
    return ~np.tri(rows, columns, seen - 1, dtype=bool)


def add_keys(target: Array, tile: Tile, weights: Array, x: Array) -> None:
    """Add weightsᵀ x to the keys' gradient `target` (B, Hkv, S, D), summed over the heads that share them.

    The last queries of a head come first and see all keys: they write, the others add.
    """
    b, h, group, rows, keys = weights.shape
    weights = weights.reshape(b, h, group * rows, keys).swapaxes(-1, -2)
    x = x.reshape(b, h, group * rows, x.shape[-1])
    part = target[(*tile.keys[:2], tile.keys[3])]
    if tile.last:
        np.matmul(weights, x, out=part)
    else:
        part += np.matmul(weights, x)


def add_mask(target: Array, tile: Tile, dscores: Array) -> None:
    """Add the gradient of the scores to that of a grouped mask, summed over the axes that were broadcast."""
    part = part_of_mask(target, tile)
    axes = tuple(axis for axis, size in enumerate(part.shape) if size == 1)
    part += dscores.sum(axis=axes, keepdims=True)
