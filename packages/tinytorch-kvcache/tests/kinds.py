"""One maker for each kind of cache: 2 layers, 3 heads of 4, at most 24 positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.kvcache import (
    BlockPool,
    Cache,
    GrowingCache,
    Int8Cache,
    KVCache,
    PagedCache,
    SlidingWindowCache,
)

LAYERS, HEADS, DIM, LENGTH = 2, 3, 4, 24
WINDOW, SINKS = 5, 2

Maker = Callable[..., Cache]


def paged(batch_size: int, dtype: npt.DTypeLike = np.float64) -> PagedCache:
    return PagedCache(BlockPool(64, 4, LAYERS, HEADS, DIM, dtype), batch_size, LENGTH)


def preallocated(batch_size: int, dtype: npt.DTypeLike = np.float64) -> KVCache:
    return KVCache(batch_size, LENGTH, LAYERS, HEADS, DIM, dtype)


def growing(batch_size: int, dtype: npt.DTypeLike = np.float64) -> GrowingCache:
    return GrowingCache(batch_size, LAYERS, HEADS, DIM, LENGTH, dtype)


def window(batch_size: int, dtype: npt.DTypeLike = np.float64) -> SlidingWindowCache:
    return SlidingWindowCache(batch_size, LAYERS, HEADS, DIM, WINDOW, SINKS, dtype)


def int8(batch_size: int, dtype: npt.DTypeLike = np.float64) -> Int8Cache:
    return Int8Cache(batch_size, LENGTH, LAYERS, HEADS, DIM, dtype)


EVERY: list[Maker] = [preallocated, growing, paged, window, int8]
BOUNDED: list[Maker] = [preallocated, growing, paged, int8]


def entries(batch_size: int, n: int, seed: int = 0, dtype: Any = np.float64) -> tuple[Any, Any]:
    """Keys and values (B, H, n, Dh) of n positions."""
    keys, values = np.random.default_rng(seed).normal(size=(2, batch_size, HEADS, n, DIM)).astype(dtype)
    return keys, values


def fill(cache: Cache, n: int, seed: int = 0, tokens: Any = None) -> list[tuple[Any, Any]]:
    """One step of n positions; what each layer was given."""
    given = [entries(cache.batch_size, n, seed + layer, cache.dtype) for layer in range(cache.num_layers)]
    for layer, (keys, values) in enumerate(given):
        cache.update(layer, keys, values)
    cache.advance(n, tokens)
    return given
