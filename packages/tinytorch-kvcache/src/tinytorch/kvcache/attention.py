"""`cached_attention`: one step of attention over a cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.attention import attention
from tinytorch.autograd import defrefused
from tinytorch.tensor import Array, primitive

from .cache import Cache


@primitive
def cached_attention(
    q: Array, k: Array, v: Array, mask: Any = None, /, *, cache: Cache, layer: int, causal: bool = True
) -> Array:
    """Write the new keys and values to the cache, and attend to all that it holds: (B, H, t, Dh).

    `q` is (B, H, t, Dh), `k` and `v` (B, Hkv, t, Dh), H a multiple of Hkv. `mask` is over all positions so far, and
    broadcasts to (B, H, t, seq_pos + t). The result is that of `attention` over the whole sequence, at its end.

    Raises as `Cache.update` does.
    """
    n = q.shape[2]
    keys, values = cache.update_and_fetch(layer, k, v)  # (B, Hkv, t, Dh) -> (B, Hkv, S, Dh)
    mask = cache.make_mask(n, mask)  # (..., seq_pos + t) -> (..., S)
    if n == 1 and (mask is None or (mask.dtype == bool and (mask.ndim < 3 or mask.shape[-3] == 1))):
        return attend_one(q, keys, values, mask)
    out: Array = attention.lift(q, keys, values, mask, causal=causal)
    return out


defrefused(cached_attention, reason="no gradient passes through what a cache holds; disable the cache to train")


def attend_one(q: Array, keys: Array, values: Array, mask: Array | None = None) -> Array:
    """What a single query collects, (B, H, 1, Dh): softmax(q kᵀ / sqrt(Dh)) v in a few passes.

    `mask`, boolean, is the same for all heads. A query that may attend to nothing gets zeros.
    """
    B, H, _, D = q.shape
    scores = np.matmul(q.reshape(B, keys.shape[1], -1, D) * (1 / math.sqrt(D)), keys.swapaxes(-1, -2))  # (B, Hkv, G, S)
    if mask is not None:
        np.copyto(scores, np.finfo(scores.dtype).min, where=~mask)
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    if mask is not None:
        scores *= mask
    total = np.add.reduce(scores, axis=-1, keepdims=True)
    if mask is not None:
        total[total == 0] = 1
    scores /= total
    return np.matmul(scores, values).reshape(B, H, 1, D)
