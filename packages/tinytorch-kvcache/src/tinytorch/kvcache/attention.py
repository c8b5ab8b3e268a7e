"""`cached_attention`: one step of attention over a cache."""

from __future__ import annotations

from typing import Any

from tinytorch.attention import attention
from tinytorch.autograd import defrefused
from tinytorch.tensor import Array, primitive

from .cache import Cache

attend = attention.lower()


@primitive
def cached_attention(
    q: Array, k: Array, v: Array, mask: Any = None, /, *, cache: Cache, layer: int, causal: bool = True
) -> Array:
    """Write the new keys and values to the cache, and attend to all that it holds: (B, H, t, Dh).

    `q` is (B, H, t, Dh), `k` and `v` (B, Hkv, t, Dh), H a multiple of Hkv. `mask` is over all positions so far, and
    broadcasts to (B, H, t, seq_pos + t). The result is that of `attention` over the whole sequence, at its end.
    Raises as `Cache.update` does.
    """
    keys, values = cache.update_and_fetch(layer, k, v)  # (B, Hkv, t, Dh) -> (B, Hkv, S, Dh)
    mask = cache.make_mask(q.shape[2], mask)  # (..., seq_pos + t) -> (..., S)
    return attend(q, keys, values, mask, causal=causal)  # (B, H, t, Dh)


defrefused(cached_attention, reason="no gradient passes through what a cache holds; disable the cache to train")
