"""Beam search finds what trying everything finds, with and without a cache."""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tinytorch.autograd import is_grad_enabled, no_grad
from tinytorch.kvcache import BlockPool, KVCache, PagedCache, beam_search, enable_kv_cache, search_beams
from tinytorch.layers import functional as F

from .models import Spy, make, tokens


def log_probability(model: Any, prompt: Any, new: Any) -> float:
    ids = np.concatenate((prompt, new))
    with no_grad():
        scores = F.log_softmax.lift(model(ids[None, :-1]).data[0])
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
    best = search_beams(model, prompt, 40, 3, penalty, stop)[0]
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
    assert spy.computed == ([6] + [1] * 7) * (2 if batch else 1)
    pool = BlockPool(64, 4, 3, model.blocks[0].attention.num_kv_heads, 4, np.float64)
    cache = enable_kv_cache(model, PagedCache(pool))
    assert_array_equal(beam_search(model, prompt, 3, 8, stop=2).data, wanted.data)
    assert cache.batch_size == 1


def test_one_beam_is_greedy() -> None:
    model, prompt = make("llama"), [3, 1, 4]
    assert_array_equal(beam_search(model, prompt, 1, 12).data, model.generate(prompt, 12, temperature=0).data)


def test_more_beams_are_never_less_likely_here() -> None:
    model, prompt = make(), tokens(1, 4)[0]
    one, four = (search_beams(model, prompt, beams, 8)[0].log_probability for beams in (1, 4))
    assert four >= one - 1e-12


def test_beams_come_best_first_and_differ() -> None:
    beams = search_beams(make(), np.array([1, 2, 3]), 5, 6)
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
    [
        (([1, 2], 0, 3), "num_beams is 0"),
        (([1, 2], 2, 0), "max_new_tokens is 0"),
        (([], 2, 2), "shape"),
        (([1.5], 2, 2), "float64"),
        (([1, 2], 2, 3, 1.0, None, 3), "num_return_sequences=3 of 2 beams"),
        (([1, 2], 2, 3, 1.0, None, 0), "num_return_sequences is 0"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        beam_search(make(), *arguments)


def test_several_prompts_are_not_one() -> None:
    with pytest.raises(ValueError, match="2 prompts; give one at a time"):
        search_beams(make(), [[1, 2], [3, 4]], 2, 2)


def test_the_n_best_come_row_by_row() -> None:
    model, prompts = make(), tokens(2, 3)
    found = beam_search(model, prompts, 4, 5, stop=2, num_return_sequences=3).data
    beams = [beam for prompt in prompts for beam in search_beams(model, prompt, 4, 5, stop=2)[:3]]
    assert found.shape[0] == 6
    for i, (row, beam) in enumerate(zip(found, beams, strict=True)):
        assert_array_equal(row[:3], prompts[i // 3])
        assert_array_equal(row[3:], np.append(beam.tokens, np.full(len(row) - 3 - len(beam.tokens), 2)))
    assert_array_equal(beam_search(model, prompts[0], 4, 5, stop=2, num_return_sequences=2).data[0], found[0])


def test_prompts_of_different_lengths_are_searched_as_if_alone() -> None:
    model = make()
    found = beam_search(model, [[1, 2, 3, 4], [5, 6]], 3, 4, stop=9).data
    for row, prompt in zip(found, ([1, 2, 3, 4], [9, 9, 5, 6]), strict=True):
        alone = search_beams(model, [token for token in prompt if token != 9], 3, 4, stop=9)[0].tokens
        assert row[: 4 + len(alone)].tolist() == [*prompt, *alone]


def reference(model: Any, prompt: Any, width: int, new: int, penalty: float, stops: set[int]) -> Any:
    """Beam search to the very end, one beam after the other."""
    beams: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended: list[tuple[float, tuple[int, ...]]] = []
    for n in range(1, new + 1):
        every = []
        for total, before in beams:
            with no_grad():
                scores = F.log_softmax.lift(model([[*prompt, *before]]).data[0, -1])
            every += [(total + float(score), (*before, token)) for token, score in enumerate(scores)]
        every.sort(key=lambda beam: -beam[0])
        every = every[: width * (1 + len(stops))]
        ends = [n == new or new_tokens[-1] in stops for _, new_tokens in every]
        ended += [
            (total / n**penalty, tokens) for (total, tokens), end in zip(every[:width], ends, strict=False) if end
        ]
        beams = [beam for beam, end in zip(every, ends, strict=True) if not end][:width]
    return max(ended)[1]


@pytest.mark.parametrize("penalty", [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
def test_the_search_stops_only_when_nothing_better_can_come(penalty: float) -> None:
    for seed in range(6):
        model = make(vocab_size=5, seed=seed, num_layers=1)
        for width in (1, 2, 3):
            found = search_beams(model, np.array([1, 2]), width, 6, penalty, [3, 4])[0]
            assert tuple(found.tokens) == reference(model, [1, 2], width, 6, penalty, {3, 4})


def test_the_cache_is_left_as_it_was() -> None:
    model, prompt = make(), tokens(1, 6)[0]
    cache = enable_kv_cache(model)
    model.generate(prompt, 3, temperature=0)
    before, keys = cache.tokens.copy(), cache.get(1)[0].data.copy()
    with Spy(model) as spy:
        beam_search(model, prompt, 3, 4)
    assert spy.computed == [1, 1, 1, 1]  # all but the last token of the prompt was there
    assert_array_equal(cache.tokens, before)
    assert_array_equal(cache.get(1)[0].data, keys)


def test_an_interrupt_at_any_line_leaves_the_model_usable() -> None:
    model, prompt = make(num_layers=1), [1, 2, 3]
    wanted = model.generate(prompt, 4, temperature=0).data
    enable_kv_cache(model, KVCache(2, 32, 1, 4, 4, np.float64))
    both = model.generate([prompt, prompt], 4, temperature=0)
    lines, stop_at = 0, -1

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.endswith(("kvcache/beam.py", "kvcache/cache.py", "kvcache/storage.py")):
            return None
        if event == "line":
            lines += 1
            if lines == stop_at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    for stop_at in [-1, *range(1, 10**6)]:
        lines = 0
        sys.settrace(trace)
        try:
            beam_search(model, prompt, 2, 2)
        except KeyboardInterrupt:
            assert lines == stop_at
        else:
            assert stop_at == -1 or lines < stop_at
            if stop_at > 0:
                break
        finally:
            sys.settrace(before)
        assert is_grad_enabled()
        if stop_at % 10 == 0:
            assert_array_equal(model.generate([prompt, prompt], 4, temperature=0).data, both.data)
    assert stop_at > 100
    assert_array_equal(both.data[0], wanted)
