"""Cached equals uncached, for every family of models, batch, mask, cache and splitting of the sequence."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.attention import attention, scaled_dot_product_attention, sliding_window_mask
from tinytorch.autograd import no_grad
from tinytorch.kvcache import (
    BlockPool,
    Cache,
    GrowingCache,
    Int8Cache,
    KVCache,
    PagedCache,
    SlidingWindowCache,
    cached_attention,
    disable_kv_cache,
    enable_kv_cache,
)
from tinytorch.tensor import Tensor

from .models import FAMILIES, Spy, make, tokens

EXACT = {"rtol": 0, "atol": 1e-10}


def close(actual: Any, wanted: Any) -> None:
    assert_allclose(np.asarray(actual), np.asarray(wanted), **EXACT)


def uncached(model: Any, ids: Any, mask: Any = None) -> Any:
    with no_grad():
        return model(ids, mask).data


def in_parts(model: Any, ids: Any, cuts: list[int], mask: Any = None) -> Any:
    """Logits of every position, computed part by part."""
    edges = [0, *sorted(set(cuts) - {0, ids.shape[1]}), ids.shape[1]]
    with no_grad():
        parts = [
            model(ids[:, start:end], None if mask is None else mask[:, start:end]).data
            for start, end in pairwise(edges)
        ]
    return np.concatenate(parts, axis=1)


def cache_for(kind: str, model: Any, batch_size: int) -> Cache:
    a = model.blocks[0].attention
    sizes = {"num_layers": len(model.blocks), "num_heads": a.num_kv_heads, "head_dim": a.head_dim, "dtype": np.float64}
    if kind == "preallocated":
        return KVCache(batch_size, 32, **sizes)
    if kind == "growing":
        return GrowingCache(batch_size, **sizes)
    if kind == "paged":
        return PagedCache(BlockPool(40, 4, **sizes), batch_size)
    return SlidingWindowCache(batch_size, window=32, **sizes)


KINDS = ["preallocated", "growing", "paged", "window"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("cuts", [[], list(range(20)), [7], [1, 2, 9, 10, 15]], ids=["whole", "ones", "two", "five"])
def test_every_position_of_every_family(family: str, batch_size: int, cuts: list[int]) -> None:
    model, ids = make(family), tokens(batch_size, 20)
    wanted = uncached(model, ids)
    enable_kv_cache(model, batch_size=batch_size)
    close(in_parts(model, ids, cuts), wanted)


def left_padded(batch_size: int, length: int) -> Any:
    """Row i begins with 3 i positions that do not count."""
    return np.arange(length) >= 3 * np.arange(batch_size)[:, None]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cuts", [[], list(range(20)), [2, 5, 13]], ids=["whole", "ones", "four"])
def test_left_padding_with_every_cache(family: str, kind: str, cuts: list[int]) -> None:
    model, ids, mask = make(family), tokens(3, 20), left_padded(3, 20)
    wanted = uncached(model, ids, mask)
    enable_kv_cache(model, cache_for(kind, model, 3))
    close(in_parts(model, ids, cuts, mask), wanted)


def test_padding_may_stand_anywhere() -> None:
    model, ids, mask = make("llama"), tokens(4, 20), np.random.default_rng(1).random((4, 20)) < 0.6
    wanted = uncached(model, ids, mask)
    enable_kv_cache(model, batch_size=4)
    close(in_parts(model, ids, [3, 4, 11, 19], mask), wanted)


def test_a_mask_of_all_positions_says_the_same_as_one_of_the_new() -> None:
    model, ids, mask = make("grouped"), tokens(2, 9), left_padded(2, 9)
    wanted = uncached(model, ids, mask)
    enable_kv_cache(model, batch_size=2)
    with no_grad():
        model(ids[:, :5], mask[:, :5])
        close(model(ids[:, 5:7], mask[:, :7]), wanted[:, 5:7])
        close(model(ids[:, 7:]), wanted[:, 7:])  # what is padded stays so
        with pytest.raises(ValueError, match="a mask of shape"):
            model(ids[:, :1], mask[:, :3])


@given(
    family=st.sampled_from(FAMILIES),
    kind=st.sampled_from(KINDS),
    batch_size=st.integers(1, 3),
    length=st.integers(1, 24),
    padded=st.booleans(),
    data=st.data(),
)
@settings(max_examples=60)
def test_any_split(family: str, kind: str, batch_size: int, length: int, padded: bool, data: Any) -> None:
    model, ids = make(family, num_layers=2), tokens(batch_size, length)
    cuts = data.draw(st.lists(st.integers(0, length), max_size=length))
    mask = left_padded(batch_size, length) if padded else None
    wanted = uncached(model, ids, mask)
    enable_kv_cache(model, cache_for(kind, model, batch_size))
    close(in_parts(model, ids, cuts, mask), wanted)


@pytest.mark.parametrize("cuts", [[], list(range(24)), [3, 10, 11, 20]], ids=["whole", "ones", "five"])
@pytest.mark.parametrize("padded", [False, True])
def test_a_sliding_window_equals_its_mask(cuts: list[int], padded: bool) -> None:
    """With one layer, what a position sees is the whole truth: the reference is attention under the window's mask."""
    model, ids = make("llama", num_layers=1), tokens(2, 24)
    counts = left_padded(2, 24) if padded else None
    window = sliding_window_mask(24, 6).data | ((np.arange(24) < 2) & np.tri(24, dtype=bool))
    model.blocks[0].attention.core = lambda q, k, v, mask, causal: attention(
        q, k, v, window if mask is None else window & np.asarray(mask), causal=causal
    )
    wanted = uncached(model, ids, counts)
    model.blocks[0].attention.core = attention
    assert not np.allclose(wanted, uncached(model, ids, counts))
    a = model.blocks[0].attention
    cache = SlidingWindowCache(2, 1, a.num_kv_heads, a.head_dim, window=6, sinks=2, dtype=np.float64)
    enable_kv_cache(model, cache)
    close(in_parts(model, ids, cuts, counts), wanted)


@pytest.mark.parametrize("padded", [False, True])
def test_a_core_of_ones_own_keeps_to_the_window(padded: bool) -> None:
    model, ids, counts = make("llama", num_layers=1), tokens(2, 24), left_padded(2, 24) if padded else None
    layer = model.blocks[0].attention
    sizes: dict[str, Any] = {"num_heads": layer.num_kv_heads, "head_dim": layer.head_dim, "dtype": np.float64}
    enable_kv_cache(model, SlidingWindowCache(2, 1, window=6, sinks=2, **sizes))
    wanted = in_parts(model, ids, [3, 9, 10, 17], counts)
    disable_kv_cache(model)
    layer.core = lambda q, k, v, mask, causal: scaled_dot_product_attention(q, k, v, mask, causal)[0]
    for cuts in ([], list(range(24)), [4, 16]):
        enable_kv_cache(model, SlidingWindowCache(2, 1, window=6, sinks=2, **sizes))
        close(in_parts(model, ids, cuts, counts), wanted)


def test_int8_is_near_and_the_same_for_every_split() -> None:
    model, ids = make("llama"), tokens(2, 20)
    wanted = uncached(model, ids)
    logits = []
    for cuts in ([], list(range(20)), [5, 6, 13]):
        a = model.blocks[0].attention
        enable_kv_cache(model, Int8Cache(2, 32, len(model.blocks), a.num_kv_heads, a.head_dim, np.float64))
        logits.append(in_parts(model, ids, cuts))
    for other in logits[1:]:
        close(other, logits[0])
    error = np.abs(logits[0] - wanted).max() / np.abs(wanted).max()
    assert 1e-10 < error < 0.05


def test_another_core_is_kept_and_sees_the_whole_sequence() -> None:
    model, ids = make("gpt2"), tokens(1, 10)

    def sharp(q: Tensor, k: Tensor, v: Tensor, mask: Any, causal: bool) -> Tensor:
        return scaled_dot_product_attention(q, k, v, mask, causal, scale=2.0)[0]

    for block in model.blocks:
        block.attention.core = sharp
    wanted = uncached(model, ids)
    enable_kv_cache(model)
    close(in_parts(model, ids, [4, 5, 9]), wanted)
    disable_kv_cache(model)
    assert all(block.attention.core is sharp for block in model.blocks)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("n", [1, 3])
def test_cached_attention_is_the_end_of_attention(kv_heads: int, n: int) -> None:
    rng = np.random.default_rng(0)
    q = Tensor(rng.normal(size=(2, 4, 9, 8)), np.float64)
    k, v = (Tensor(x, np.float64) for x in rng.normal(size=(2, 2, kv_heads, 9, 8)))
    cache = KVCache(2, 9, 1, kv_heads, 8, np.float64)
    cache.update(0, k[:, :, :-n], v[:, :, :-n])
    cache.advance(9 - n)
    for mask in (None, rng.random((2, 1, n, 9)) < 0.5, rng.normal(size=(2, 4, n, 9))):
        out = cached_attention(*(x[:, :, -n:] for x in (q, k, v)), mask, cache=cache, layer=0)
        close(out, scaled_dot_product_attention(q[:, :, -n:], k, v, mask, True)[0])
    with pytest.raises(ValueError, match="beyond max_seq_len"):
        cached_attention(q, k, v, cache=cache, layer=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_keep_the_dtype(dtype: Any) -> None:
    model = make("llama", dtype=dtype)
    enable_kv_cache(model)
    with no_grad():
        assert model(tokens(1, 3)).dtype == dtype
        assert model.next_logits(tokens(1, 4)).dtype == dtype


SHAPES = [
    {"embed_dim": 16, "num_layers": 1, "num_heads": 2},
    {"embed_dim": 32, "num_layers": 2, "num_heads": 4},
    {"embed_dim": 24, "num_layers": 4, "num_heads": 3},
]
PROMPTS = [[1], [3, 1, 4, 1, 5], list(range(12))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("prompt", PROMPTS, ids=len)
@pytest.mark.parametrize("family", ["gpt2", "grouped"])
def test_generated_tokens_are_identical_and_each_is_computed_once(
    shape: dict[str, int], prompt: list[int], family: str
) -> None:
    changes = {**shape, "num_kv_heads": 1} if family == "grouped" else shape
    model = make("llama" if family == "grouped" else family, np.float32, **changes)
    greedy = model.generate(prompt, 15, temperature=0)
    drawn = model.generate(prompt, 15, temperature=0.9, top_k=8, generator=np.random.default_rng(5))
    cache = enable_kv_cache(model)
    with Spy(model) as spy:
        assert_array_equal(model.generate(prompt, 15, temperature=0).data, greedy.data)
    assert spy.computed == [len(prompt)] + [1] * 14
    assert cache.seq_pos == len(prompt) + 14
    again = model.generate(prompt, 15, temperature=0.9, top_k=8, generator=np.random.default_rng(5))
    assert_array_equal(again.data, drawn.data)
    assert len(set(drawn.data.tolist())) > 3


def test_batches_of_unequal_prompts_are_identical() -> None:
    model = make("grouped")
    prompts = [[1, 2, 3, 4, 5, 6], [7, 8], [9, 10, 11]]
    wanted = model.generate(prompts, 10, temperature=0)
    enable_kv_cache(model)
    with Spy(model) as spy:
        assert_array_equal(model.generate(prompts, 10, temperature=0).data, wanted.data)
    assert spy.computed == [6] + [1] * 9
    for prompt, row in zip(prompts, wanted.data, strict=True):
        assert_array_equal(model.generate(prompt, 10, temperature=0).data[-10:], row[-10:])


def test_streams_and_stops_are_identical() -> None:
    model = make("gpt2")
    how: dict[str, Any] = {"temperature": 1.0, "repetition_penalty": 1.3, "stop": 4}
    wanted = list(model.stream(tokens(2, 3), 20, generator=np.random.default_rng(2), **how))
    enable_kv_cache(model)
    again = list(model.stream(tokens(2, 3), 20, generator=np.random.default_rng(2), **how))
    assert_array_equal(np.array(again), np.array(wanted))


def test_a_window_of_the_last_tokens_is_identical() -> None:
    model = make("gpt2", max_seq_len=8)
    wanted = model.generate([1, 2, 3], 20, temperature=0, window=8)
    enable_kv_cache(model)
    assert_array_equal(model.generate([1, 2, 3], 20, temperature=0, window=8).data, wanted.data)


def test_positions_that_are_not_learned_go_on_beyond_max_seq_len() -> None:
    model = make("llama", max_seq_len=8)
    wanted = model.generate([1, 2, 3], 20, temperature=0)
    cache = enable_kv_cache(model)
    with Spy(model) as spy:
        assert_array_equal(model.generate([1, 2, 3], 20, temperature=0).data, wanted.data)
    assert sum(spy.computed) == 22
    assert isinstance(cache, KVCache)
    assert cache.max_seq_len >= 22
    learned = make("gpt2", max_seq_len=8)
    enable_kv_cache(learned)
    with no_grad(), pytest.raises(ValueError, match="positions up to 7 are learned"):
        learned(tokens(1, 9))


@pytest.mark.parametrize("chunk", [1, 3, 5, 100])
def test_a_prompt_in_chunks_is_identical(chunk: int) -> None:
    model, prompts = make("llama"), [[5, 6, 7, 8, 9, 1, 2, 3], [1, 2, 3]]
    wanted = model.generate(prompts, 6, temperature=0)
    enable_kv_cache(model, prefill_chunk=chunk)
    with Spy(model) as spy:
        assert_array_equal(model.generate(prompts, 6, temperature=0).data, wanted.data)
    full, rest = divmod(8, chunk)
    assert spy.computed == [chunk] * full + [rest] * bool(rest) + [1] * 5
    with pytest.raises(ValueError, match="prefill_chunk is 0"):
        enable_kv_cache(model, prefill_chunk=0)


def test_a_prompt_that_goes_on_computes_only_what_is_new() -> None:
    model = make("gpt2")
    cache = enable_kv_cache(model)
    with no_grad(), Spy(model) as spy:
        model.next_logits([[1, 2, 3, 4]])
        model.next_logits([[1, 2, 3, 4, 5, 6]])
        model.next_logits([[1, 2, 3, 4, 5, 6]])  # the last is asked for again
        close(model.next_logits([[1, 2, 9]]), uncached_next(model, [[1, 2, 9]]))
    assert spy.computed[:4] == [4, 2, 1, 1]
    assert cache.tokens.tolist() == [[1, 2, 9]]


def uncached_next(model: Any, ids: Any) -> Any:
    session_cache = model._kv_cache.copy()
    disable_kv_cache(model)
    out = model.next_logits(ids).data
    enable_kv_cache(model, session_cache)
    return out
