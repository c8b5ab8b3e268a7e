"""A GPT with a cache gives the same tokens by its program as by its modules, and its modules do what no program can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.acceleration import accelerating, disable_acceleration, enable_acceleration, report
from tinytorch.autograd import no_grad
from tinytorch.kvcache import CacheFullError, GrowingCache, Int8Cache, KVCache, disable_kv_cache, enable_kv_cache
from tinytorch.layers import Linear
from tinytorch.transformer import GPT, TransformerConfig

SIZES: dict[str, Any] = {"vocab_size": 53, "embed_dim": 48, "num_layers": 2, "num_heads": 4, "max_seq_len": 40}
CONFIGS = {
    "gpt2": TransformerConfig(**SIZES),
    "untied": TransformerConfig(**SIZES, tied=False, bias=False),
    "llama": TransformerConfig.llama(**SIZES, num_kv_heads=2, tied=False),
    "original": TransformerConfig.original(**SIZES),
    "silu": TransformerConfig(**SIZES, activation="silu", head_dim=20),
}


def make(name: str, dtype: Any = None) -> GPT:
    model = GPT.from_config(CONFIGS[name], dtype=dtype, generator=np.random.default_rng(0)).eval()
    for i, parameter in enumerate(model.parameters()):
        parameter.data[...] += 0.05 * np.random.default_rng(i).standard_normal(parameter.shape)
    return model


def tokens(rows: int, length: int) -> Any:
    return np.random.default_rng(1).integers(0, 53, (rows, length))


def by_next(model: GPT, ids: Any) -> Any:
    """Logits of every position but the first, asked for as generation does."""
    with no_grad():
        return np.stack([model.next_logits(ids[:, : t + 1]).data for t in range(1, ids.shape[1])], axis=1)


def cache_for(kind: Any, model: GPT, rows: int = 1) -> Any:
    core = model.blocks[0].attention
    room = {} if kind is GrowingCache else {"max_seq_len": 40}
    return kind(batch_size=rows, num_layers=2, num_heads=core.num_kv_heads, head_dim=core.head_dim, **room)


def steps() -> int:
    """How many tokens programs have computed."""
    found = report().get("GPT token")
    return 0 if found is None else found.served


@pytest.mark.parametrize("kind", [KVCache, GrowingCache])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_family_gives_the_logits_of_its_modules(name: str, rows: int, kind: Any) -> None:
    model, ids = make(name), tokens(rows, 30)
    with no_grad():
        wanted = model(ids).data[:, 1:]
    enable_kv_cache(model, cache=cache_for(kind, model, rows))
    with accelerating():
        before = steps()
        found = by_next(model, ids)
        assert steps() - before == 28  # all but the first, which comes with its prompt
    assert found.dtype == np.float32
    assert_allclose(found, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_off_again_leaves_every_bit_as_it_was() -> None:
    model, ids = make("gpt2"), tokens(1, 20)
    cache = enable_kv_cache(model)
    before = by_next(model, ids)
    with accelerating():
        cache.reset()
        by_next(model, ids)
    cache.reset()
    assert_array_equal(by_next(model, ids), before)


def test_each_run_gives_the_same_bits() -> None:
    model, ids = make("gpt2"), tokens(2, 20)
    cache = enable_kv_cache(model)
    with accelerating():
        first = by_next(model, ids)
        for _ in range(3):
            cache.reset()
            assert_array_equal(by_next(model, ids), first)


def test_weights_are_read_when_it_runs() -> None:
    model, ids = make("gpt2"), tokens(1, 12)
    cache = enable_kv_cache(model)
    with accelerating():
        by_next(model, ids)
        up = model.blocks[0].feed_forward.up
        up.weight.data[...] *= 0.5  # in place
        cache.reset()
        halved = by_next(model, ids)
        up.weight.data = up.weight.data * 2  # elsewhere
        cache.reset()
        doubled = by_next(model, ids)
    disable_kv_cache(model)
    with no_grad():
        assert_allclose(doubled, model(ids).data[:, 1:], rtol=0, atol=1e-4)
        up.weight.data = up.weight.data * 0.5
        assert_allclose(halved, model(ids).data[:, 1:], rtol=0, atol=1e-4)


def test_generation_gives_the_same_tokens() -> None:
    for name in CONFIGS:
        model = make(name)
        plain = model.generate(tokens(2, 5), 20, temperature=0).data
        enable_kv_cache(model)
        with accelerating():
            assert_array_equal(model.generate(tokens(2, 5), 20, temperature=0).data, plain)


class Twice(Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * 2


def unknown_layer(model: GPT) -> None:
    old = model.blocks[0].feed_forward.up
    model.blocks[0].feed_forward.up = Twice(old.in_features, old.out_features)


def hooked(model: GPT) -> None:
    model.blocks[0].register_forward_hook(lambda module, args, kwargs, out: None)


@pytest.mark.parametrize("change", [unknown_layer, hooked])
def test_other_modules_run_as_they_did(change: Any) -> None:
    model, ids = make("gpt2"), tokens(1, 12)
    change(model)
    with no_grad():
        wanted = model(ids).data[:, 1:]
    enable_kv_cache(model)
    with accelerating():
        before = steps()
        assert_allclose(by_next(model, ids), wanted, rtol=0, atol=2e-5)
        assert steps() == before


@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, Int8Cache), (np.float64, None)])
def test_other_caches_and_dtypes_run_as_they_did(dtype: Any, kind: Any) -> None:
    model, ids = make("gpt2", dtype), tokens(1, 12)
    cache = enable_kv_cache(model, cache=None if kind is None else cache_for(kind, model))
    wanted = by_next(model, ids)
    cache.reset()
    with accelerating():
        before = steps()
        assert_allclose(by_next(model, ids), wanted, rtol=0, atol=1e-6)
        assert steps() == before


def test_padded_batches_run_as_they_did() -> None:
    model, ids = make("gpt2"), tokens(2, 12)
    mask = np.arange(12) >= np.array([[0], [4]])
    cache = enable_kv_cache(model)

    def logits() -> Any:
        with no_grad():
            return np.stack([model.next_logits(ids[:, :t], mask[:, :t]).data for t in range(6, 13)])

    wanted = logits()
    cache.reset()
    with accelerating():
        assert_allclose(logits(), wanted, rtol=0, atol=1e-6)


def test_a_full_cache_is_refused_and_keeps_what_it_holds() -> None:
    model, ids = make("llama"), tokens(1, 10)
    cache = KVCache(1, 8, 2, 2, 12)
    enable_kv_cache(model, cache=cache)
    with accelerating(), no_grad():
        for t in range(1, 9):
            model.next_logits(ids[:, :t])
        with pytest.raises(CacheFullError, match="max_seq_len=8"):
            model.next_logits(ids[:, :9])
    assert cache.seq_pos == 8
    assert_array_equal(cache.tokens, ids[:, :8])


def test_tokens_that_do_not_exist_are_refused() -> None:
    model = make("gpt2")
    enable_kv_cache(model)
    enable_acceleration()
    try:
        with no_grad():
            model.next_logits([[1, 2]])
            with pytest.raises(IndexError, match="53 rows"):
                model.next_logits([[1, 2, 99]])
    finally:
        disable_acceleration()
