"""For every mix of dtypes the cached logits have the values and the dtype of those without a cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tinytorch.autograd import no_grad
from tinytorch.kvcache import (
    BlockPool,
    Cache,
    CacheError,
    GrowingCache,
    KVCache,
    PagedCache,
    SlidingWindowCache,
    enable_kv_cache,
)
from tinytorch.transformer import GPT

from .models import FAMILIES, make, tokens

TOLERANCE = {np.float16: 2e-3, np.float32: 1e-6, np.float64: 1e-12}


def scaled(model: GPT) -> GPT:
    """Weights as they start: those of `make` would overflow float16."""
    for parameter in model.parameters():
        parameter.data /= 5
    return model


def same_as_uncached(model: GPT, cache: Cache | None = None) -> None:
    """Token by token and in parts, with and without padding."""
    ids, mask = tokens(2, 14), np.arange(14) >= 3 * np.arange(2)[:, None]
    with no_grad():
        for counts in (None, mask):
            wanted = model(ids, counts)
            tolerance = max(TOLERANCE[parameter.dtype.type] for parameter in model.parameters())
            tolerance *= max(1, np.abs(wanted.data).max())
            cache = enable_kv_cache(model, cache, batch_size=2)
            cache.reset()
            for t in range(1, 15):
                found = model.next_logits(ids[:, :t], None if counts is None else counts[:, :t])
                assert found.dtype == wanted.dtype
                assert_allclose(found.data, wanted.data[:, t - 1], rtol=0, atol=tolerance)
            cache.reset()
            for part in (slice(0, 5), slice(5, 6), slice(6, 14)):
                found = model(ids[:, part], None if counts is None else counts[:, part])
                assert found.dtype == wanted.dtype
                assert_allclose(found.data, wanted.data[:, part], rtol=0, atol=tolerance)
            model._kv_session.unplug()


@pytest.mark.parametrize("family", FAMILIES)
def test_float16(family: str) -> None:
    same_as_uncached(scaled(make(family, np.float16)))


@pytest.mark.parametrize("family", FAMILIES)
def test_float16_with_one_large_feature(family: str) -> None:
    """As trained GPTs have one in the residual stream: its square is beyond float16."""
    model = scaled(make(family, np.float16))
    model.token_embedding.weight.data[:, 3] = 400
    with no_grad():
        assert np.abs(model(tokens(1, 3)).data).max() > 0.1
    same_as_uncached(model)


@pytest.mark.parametrize("family", ["gpt2", "grouped"])
@pytest.mark.parametrize(
    ("part", "dtype"),
    [
        ("blocks", np.float64),
        ("blocks", np.float16),
        ("token_embedding", np.float16),
        ("token_embedding", np.float64),
        ("norm", np.float64),
        ("blocks.1", np.float64),
        ("blocks.1.attention", np.float16),
        ("blocks.0.attention.k_proj", np.float64),
        ("blocks.2.attention.v_proj", np.float64),
    ],
)
def test_mixed_dtypes(family: str, part: str, dtype: Any) -> None:
    model = make(family, np.float32)
    model.get_submodule(part).astype(dtype)
    same_as_uncached(scaled(model))


@pytest.mark.parametrize("kind", [KVCache, GrowingCache, PagedCache, SlidingWindowCache])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cache_of_a_wider_dtype_changes_nothing(kind: type[Cache], dtype: Any) -> None:
    model = scaled(make("llama", np.float16))
    sizes: dict[str, Any] = {"num_layers": 3, "num_heads": 4, "head_dim": 4, "dtype": dtype}
    if kind is PagedCache:
        cache: Cache = PagedCache(BlockPool(40, 4, **sizes), 2)
    else:
        cache = kind(batch_size=2, **sizes, **({"window": 32} if kind is SlidingWindowCache else {"max_seq_len": 32}))
    same_as_uncached(model, cache)


def test_a_cache_of_a_narrower_dtype_is_refused() -> None:
    with pytest.raises(CacheError, match="dtype=float16, the model float32"):
        enable_kv_cache(make(dtype=np.float32), KVCache(1, 8, 3, 4, 4, np.float16))
    model = make(dtype=np.float32)
    enable_kv_cache(model, KVCache(1, 8, 3, 4, 4, np.float32))
    model.astype(np.float64)
    with no_grad(), pytest.raises(TypeError, match="key is float64 and value float64, the cache holds float32"):
        model.next_logits([[1, 2]])
