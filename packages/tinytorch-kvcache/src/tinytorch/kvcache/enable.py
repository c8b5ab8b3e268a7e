"""Switching the cache of a model on and off."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.attention import MultiHeadAttention
from tinytorch.tensor import check_int

from .cache import Cache
from .errors import CacheError
from .preallocated import KVCache
from .session import Request, Session, common_dtype


def enable_kv_cache(
    model: Any, cache: Cache | None = None, batch_size: int = 1, max_seq_len: int | None = None,
    prefill_chunk: int | None = None,
) -> Cache:  # fmt: skip
    """Let a decoder keep what attention computed, so that a new token costs one step; returns the cache.

    From now on, and while no gradient is recorded, `model(tokens)` takes tokens as the continuation of what the cache
    holds, and `model.generate(...)`, unchanged, computes each token once. `cache.reset()` starts over. Without `cache`
    a `KVCache` is made, of `max_seq_len` positions (the model's, and more when it goes beyond, unless given), and made
    to fit other batches that are generated. A prompt is computed at once, or `prefill_chunk` tokens at a time.

    Only this model is touched, and `disable_kv_cache` leaves it as it was. Enabling again returns the same cache, or
    changes to the one that is given. Raises TypeError for a model without causal attention or `next_logits`, ValueError
    for a cache of other sizes.

    >>> from tinytorch.transformer import GPT
    >>> model = GPT(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32).eval()
    >>> before = model.generate([1, 2, 3], 5, temperature=0)
    >>> cache = enable_kv_cache(model)
    >>> bool((model.generate([1, 2, 3], 5, temperature=0) == before).all()), cache.seq_pos
    (True, 7)
    >>> disable_kv_cache(model)
    """
    session: Session | None = model.__dict__.get("_kv_session")
    request = Request(batch_size, max_seq_len)
    if prefill_chunk is not None:
        check_int("enable_kv_cache", "prefill_chunk", prefill_chunk, 1)
    if session is not None and (session.cache is cache or (cache is None and session.request == request)):
        session.prefill_chunk = prefill_chunk
        return session.cache
    attentions = find_attentions(model)
    sizes: dict[str, Any] = {
        "num_layers": len(attentions),
        "num_heads": attentions[0].num_kv_heads,
        "head_dim": attentions[0].head_dim,
        "dtype": common_dtype(model),
    }
    made = KVCache(batch_size, max_seq_len or model.max_seq_len, **sizes) if cache is None else cache
    for name, size in sizes.items():
        has = getattr(made, name)
        if has != size if name != "dtype" else not np.can_cast(size, has):
            raise CacheError(
                f"enable_kv_cache: the cache has {name}={has}, the model {size}; "
                f"make it with {', '.join(f'{name}={size}' for name, size in sizes.items())}"
            )
    disable_kv_cache(model)  # before the new session looks at what the model does
    Session(model, attentions, made, request if cache is None else None, prefill_chunk).plug_in()
    return made


def disable_kv_cache(model: Any) -> None:
    """Leave the model exactly as it was before `enable_kv_cache`. Harmless when no cache is enabled.

    What was set on the model or its attentions meanwhile stays, and `model._cache_enabled` stays, as False.
    """
    session: Session | None = model.__dict__.get("_kv_session")
    if session is not None:
        session.unplug()
        model._cache_enabled = False


def find_attentions(model: Any) -> list[MultiHeadAttention]:
    """The attention of each layer. Raises TypeError when the model is no decoder that a cache can serve."""
    modules = model.named_modules(remove_duplicate=False)
    found = {name: module for name, module in modules if isinstance(module, MultiHeadAttention)}
    attentions = list(found.values())
    problem = None
    if not attentions or not hasattr(model, "next_logits"):
        problem = "has no attention or no next_logits"
    elif not all(module.causal for module in attentions):
        problem = f"attends to later tokens in {next(name for name, module in found.items() if not module.causal)}"
    elif len(set(map(id, attentions))) < len(attentions):
        problem = "uses one attention in several places"
    elif len({(module.num_kv_heads, module.head_dim) for module in attentions}) > 1:
        problem = "has layers with different heads"
    if problem:
        raise TypeError(f"enable_kv_cache: {type(model).__name__} {problem}; a cache serves decoders such as GPT")
    return attentions
