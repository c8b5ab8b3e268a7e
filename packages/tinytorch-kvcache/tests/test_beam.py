"""Beam search finds what trying everything finds, with and without a cache."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tinytorch.autograd import no_grad
from tinytorch.kvcache import BlockPool, KVCache, PagedCache, beam_search, enable_kv_cache
from tinytorch.kvcache.beam import log_softmax, search

from .models import Spy, make, tokens


def log_probability(model: Any, prompt: Any, new: Any) -> float:
    ids = np.concatenate((prompt, new))
    with no_grad():
        scores = log_softmax(model(ids[None, :-1]).data[0])
    return float(sum(scores[i - 1, ids[i]] for i in range(len(prompt), len(ids))))


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("stop", [None, 3, [1, 3]])
def test_enough_beams_find_the_best_of_all_sequences(penalty: float, stop: Any) -> None:
    model, prompt = make(vocab_size=5, seed=3), np.array([1, 2])
    stops = set(np.atleast_1d(stop)) if stop is not None else set()
    every = {
        new[: next((i + 1 for i, token in enumerate(new) if token in stops), 3)] for new in product(range(5), repeat=3)
    }
    wanted = max(every, key=lambda new: log_probability(model, prompt, new) / len(new) ** penalty)
    best = search(model, prompt, 40, 3, penalty, stop)[0]
    assert tuple(best.tokens) == wanted
    assert best.log_probability == pytest.approx(log_probability(model, prompt, wanted), abs=1e-10)
    assert best.score == pytest.approx(best.log_probability / len(wanted) ** penalty, abs=1e-10)


@pytest.mark.parametrize("family", ["gpt2", "grouped"])
@pytest.mark.parametrize("batch", [False, True])
def test_the_same_with_a_cache_and_the_prompt_computed_once(family: str, batch: bool) -> None:
    model, prompt = make(family), tokens(2, 6) if batch else tokens(1, 6)[0]
    wanted = beam_search(model, prompt, 3, 8, stop=2)
    enable_kv_cache(model)
    with Spy(model) as spy:
        assert_array_equal(beam_search(model, prompt, 3, 8, stop=2).data, wanted.data)
    assert set(spy.computed) <= {6, 1}
    pool = BlockPool(64, 4, 3, model.blocks[0].attention.num_kv_heads, 4, np.float64)
    cache = enable_kv_cache(model, PagedCache(pool))
    assert_array_equal(beam_search(model, prompt, 3, 8, stop=2).data, wanted.data)
    assert cache.batch_size == 1


def test_one_beam_is_greedy() -> None:
    model, prompt = make("llama"), [3, 1, 4]
    assert_array_equal(beam_search(model, prompt, 1, 12).data, model.generate(prompt, 12, temperature=0).data)


def test_more_beams_are_never_less_likely_here() -> None:
    model, prompt = make(), tokens(1, 4)[0]
    one, four = (search(model, prompt, beams, 8)[0].log_probability for beams in (1, 4))
    assert four >= one - 1e-12


def test_beams_come_best_first_and_differ() -> None:
    beams = search(make(), np.array([1, 2, 3]), 5, 6)
    assert len(beams) == 5 == len({tuple(beam.tokens) for beam in beams})
    assert [beam.score for beam in beams] == sorted((beam.score for beam in beams), reverse=True)


def test_the_cache_keeps_its_batch() -> None:
    model = make()
    cache = enable_kv_cache(model, KVCache(2, 32, 3, 4, 4, np.float64))
    beam_search(model, [1, 2, 3], 4, 5)
    assert cache.batch_size == 2
    model.generate(tokens(2, 3), 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(([1, 2], 0, 3), "0 beams"), (([1, 2], 2, 0), "2 beams of 0"), (([], 2, 2), "shape"), (([1.5], 2, 2), "float64")],
)
def test_bad_arguments_are_named(arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        beam_search(make(), *arguments)
