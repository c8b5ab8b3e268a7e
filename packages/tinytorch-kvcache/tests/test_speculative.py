"""Speculative decoding gives what greedy generation gives, in fewer steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinytorch.kvcache import SlidingWindowCache, beam_search, disable_kv_cache, enable_kv_cache, speculative_generate

from .models import Spy, make, tokens


@given(
    family=st.sampled_from(["gpt2", "llama", "grouped"]),
    batch_size=st.integers(1, 3),
    length=st.integers(1, 6),
    new=st.integers(1, 14),
    num_draft=st.integers(1, 6),
    noise=st.sampled_from([0.0, 0.02, 1.0]),
    stop=st.sampled_from([None, 2, [3, 5, 7, 9, 11]]),
)
@settings(max_examples=40)
def test_equal_to_greedy(
    family: str, batch_size: int, length: int, new: int, num_draft: int, noise: float, stop: Any
) -> None:
    model, draft, prompt = make(family), make(family), tokens(batch_size, length)
    rng = np.random.default_rng(1)
    for parameter in draft.parameters():  # from a perfect guesser to one that knows nothing
        parameter.data += noise * rng.normal(size=parameter.shape)
    wanted = model.generate(prompt, new, temperature=0, stop=stop)
    before = dict(model.__dict__)
    assert_array_equal(speculative_generate(model, draft, prompt, new, num_draft, stop).data, wanted.data)
    assert dict(model.__dict__) == before


def test_a_perfect_draft_saves_steps() -> None:
    model, prompt = make(), [1, 2, 3]
    enable_kv_cache(model)
    draft = make(num_layers=3)
    with Spy(model) as spy:
        speculative_generate(model, draft, prompt, 16, num_draft=3)
    assert spy.computed == [2, 4, 4, 4, 4]
    assert model._cache_enabled


def test_a_single_prompt_has_a_single_row() -> None:
    assert speculative_generate(make(), make(seed=1), [1, 2, 3], 5).shape == (8,)


@pytest.mark.parametrize(
    ("prompt", "new", "num_draft", "words"),
    [
        ([1], 0, 1, "max_new_tokens is 0"),
        ([1], 1, 0, "num_draft is 0"),
        ([], 1, 1, "shape"),
        ([0.5], 1, 1, "float64"),
    ],
)
def test_bad_arguments_are_named(prompt: Any, new: int, num_draft: int, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        speculative_generate(make(), make(), prompt, new, num_draft)


@pytest.mark.parametrize("enabled", [False, True])
def test_prompts_of_different_lengths(enabled: bool) -> None:
    model, draft, prompts = make(), make(seed=1), [[1, 2, 3, 4], [5, 6], [7]]
    wanted = model.generate(prompts, 7, temperature=0, stop=[4, 5, 6])
    if enabled:
        enable_kv_cache(model)
        enable_kv_cache(draft)
        model.generate(prompts, 2, temperature=0)
    assert_array_equal(speculative_generate(model, draft, prompts, 7, stop=[4, 5, 6]).data, wanted.data)


def test_a_model_may_be_its_own_draft() -> None:
    model = make()
    wanted = model.generate([1, 2, 3], 9, temperature=0)
    enable_kv_cache(model)
    assert_array_equal(speculative_generate(model, model, [1, 2, 3], 9).data, wanted.data)


def test_with_weights_that_did_not_fill_the_cache() -> None:
    model, draft, prompt = make(), make(seed=1), [1, 2, 3, 4]
    enable_kv_cache(model)
    enable_kv_cache(draft)
    speculative_generate(model, draft, prompt, 5)
    for parameter in model.parameters():
        parameter.data *= -1.1
    found = speculative_generate(model, draft, prompt, 5)
    disable_kv_cache(model)
    assert_array_equal(found.data, model.generate(prompt, 5, temperature=0).data)


def test_another_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="17 tokens, the draft 19"):
        speculative_generate(make(), make(vocab_size=19), [1, 2], 3)


@pytest.mark.parametrize("prompt", [[1], [[1], [2]], [5, 6, 7]])
def test_a_prompt_begins_at_its_own_beginning_whatever_the_cache_holds(prompt: Any) -> None:
    model, draft = make(), make(seed=1)
    wanted = model.generate(prompt, 6, temperature=0)
    for one in (model, draft):
        enable_kv_cache(one)
        one.generate(np.ones_like(np.atleast_2d(prompt)) * [[9, 8, 7]], 5, temperature=0)
    assert_array_equal(speculative_generate(model, draft, prompt, 6).data, wanted.data)


def test_a_window_that_cannot_go_back_is_filled_again() -> None:
    model, draft = make("llama", num_layers=1), make("llama", seed=1)
    attention = model.blocks[0].attention
    sizes: dict[str, Any] = {"num_heads": attention.num_kv_heads, "head_dim": attention.head_dim, "dtype": np.float64}
    enable_kv_cache(model, SlidingWindowCache(1, 1, **sizes, window=4, sinks=1))
    wanted = model.generate([1, 2, 3], 20, temperature=0)
    assert_array_equal(speculative_generate(model, draft, [1, 2, 3], 20).data, wanted.data)


def test_a_model_with_stop_tokens_of_its_own_stops_there_in_every_way() -> None:
    free = make()
    stop = free.generate([1, 2], 8, temperature=0).tolist()[6]
    model, draft = make(stop_tokens=(stop,)), make()
    wanted = model.generate([1, 2], 8, temperature=0).tolist()
    assert wanted[-1] == stop
    assert len(wanted) < 10
    assert speculative_generate(model, draft, [1, 2], 8).tolist() == wanted
    assert beam_search(model, [1, 2], num_beams=1, max_new_tokens=8).tolist() == wanted
    whole = free.generate([1, 2], 8, temperature=0).tolist()
    assert speculative_generate(model, draft, [1, 2], 8, stop=[]).tolist() == whole
