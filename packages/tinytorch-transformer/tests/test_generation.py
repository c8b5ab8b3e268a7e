"""Generation continues prompts, the same way each time it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.autograd import is_grad_enabled
from tinytorch.tensor import Tensor, manual_seed
from tinytorch.transformer import EncoderDecoder, processors
from tinytorch.transformer.generation import choose

from .models import FAMILIES, config, gpt, lively, tokens

MODEL = gpt()
every_family = pytest.mark.parametrize("family", FAMILIES)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@every_family
def test_greedy_takes_the_likeliest_token_each_time(family: str) -> None:
    model, ids = gpt(family), tokens(1, 4)
    for _ in range(8):
        ids = np.concatenate([ids, model(ids).data[:, -1:].argmax(axis=-1)], axis=1)
    assert np.array_equal(model.generate(ids[:, :4], 8, temperature=0).data, ids)


@every_family
def test_a_batch_of_unequal_prompts_matches_single_ones(family: str) -> None:
    model = gpt(family)
    prompts = [tokens(7).tolist(), [3], tokens(4, seed=2).tolist()]
    how: dict[str, Any] = {"max_new_tokens": 9, "temperature": 0, "repetition_penalty": 1.4}
    batch = model.generate(prompts, **how)
    assert batch.shape == (3, 16)
    for row, prompt in zip(batch.tolist(), prompts, strict=True):
        assert row[7 - len(prompt) :] == model.generate(prompt, **how).tolist()
        assert row[: 7 - len(prompt)] == [0] * (7 - len(prompt))


def test_greedy_tokens_are_the_likeliest_after_the_repetition_penalty() -> None:
    ids, penalty = tokens(1, 4), 1.4
    for _ in range(8):
        logits = MODEL(ids).data[:, -1]
        seen = np.isin(np.arange(logits.shape[1]), ids)
        penalized = np.where(seen, np.where(logits > 0, logits / penalty, logits * penalty), logits)
        ids = np.concatenate([ids, penalized.argmax(axis=-1)[:, None]], axis=1)
    assert np.array_equal(MODEL.generate(ids[:, :4], 8, temperature=0, repetition_penalty=penalty).data, ids)
    assert not np.array_equal(MODEL.generate(ids[:, :4], 8, temperature=0).data, ids)


def test_shapes_follow_the_prompt() -> None:
    assert MODEL.generate([[1, 2], [3, 4]], 3).shape == (2, 5)
    assert MODEL.generate(Tensor([1, 2]), 3).shape == (5,)
    assert MODEL.generate([1, 2], 0).tolist() == [1, 2]
    assert MODEL.generate([[1, 2]], 3).dtype == np.int64


def test_one_seed_gives_one_text() -> None:
    runs = [MODEL.generate([[1, 2]] * 3, 12, generator=seeded(s)).tolist() for s in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    manual_seed(5)
    default = MODEL.generate([1], 12).tolist()
    manual_seed(5)
    assert MODEL.generate([1], 12).tolist() == default


def test_stream_yields_what_generate_returns() -> None:
    whole = MODEL.generate([1, 2], 10, top_k=5, generator=seeded())
    streamed = list(MODEL.stream([1, 2], 10, top_k=5, generator=seeded()))
    assert all(isinstance(token, int) for token in streamed)
    assert whole.tolist() == [1, 2, *streamed]
    columns = list(MODEL.stream([[1], [2]], 4, temperature=0))
    assert np.array_equal(np.stack(columns, axis=1), MODEL.generate([[1], [2]], 4, temperature=0).data[:, 1:])


def test_stream_computes_as_it_goes_and_leaves_gradients_on() -> None:
    model, calls = gpt(), []
    original = model.next_logits

    def counting(*args: Any) -> Any:
        calls.append(is_grad_enabled())
        return original(*args)

    model.next_logits = counting  # type: ignore[method-assign]
    steps = model.stream([1], 10)
    assert calls == []
    next(steps)
    next(steps)
    assert calls == [False, False]
    assert is_grad_enabled()


def test_next_logits_may_be_replaced_on_the_instance_while_generating() -> None:
    model, seen = gpt(), []

    def always_five(ids: Any, mask: Any = None) -> Tensor:
        seen.append(np.asarray(ids).shape)
        return Tensor(np.eye(17)[[5]])

    model.next_logits = always_five  # type: ignore[method-assign]
    assert model.generate([1, 2], 3, temperature=0).tolist() == [1, 2, 5, 5, 5]
    assert seen == [(1, 2), (1, 3), (1, 4)]


def test_a_row_ends_with_its_stop_token() -> None:
    free = MODEL.generate([[1], [2], [3]], 12, temperature=0).data[:, 1:]
    stop = [int(free[0, 3]), int(free[1, 6])]
    ended = MODEL.generate([[1], [2], [3]], 12, temperature=0, stop=stop).data[:, 1:]
    for row, before in zip(ended, free, strict=True):
        places = np.flatnonzero(np.isin(before, stop))
        last = places[0] + 1 if places.size else len(row)
        assert np.array_equal(row[:last], before[:last][: len(row)])
        assert np.all(row[last:] == stop[0])


def test_generation_ends_when_every_row_has() -> None:
    first = MODEL.generate([1], 8, temperature=0).tolist()[1:]
    assert MODEL.generate([1], 8, temperature=0, stop=first[2]).tolist() == [1, *first[: first.index(first[2]) + 1]]


def test_rows_that_ended_are_filled_while_others_go_on() -> None:
    model, scripts = gpt(), np.array([[3, 4, 5, 6, 7, 9], [3, 9, 4, 5, 6, 7], [9, 3, 3, 3, 3, 3]])
    model.next_logits = lambda ids: Tensor(np.eye(17)[scripts[:, ids.shape[1] - 1]])  # type: ignore[method-assign]
    ended = model.generate([[1], [1], [1]], 9, temperature=0, stop=[9, 8], pad_token=16)
    assert ended.tolist() == [[1, 3, 4, 5, 6, 7, 9], [1, 3, 9, 16, 16, 16, 16], [1, 9, 16, 16, 16, 16, 16]]
    assert model.generate([[1], [1], [1]], 3, temperature=0, stop=9).tolist()[2] == [1, 9, 9, 9]


def test_what_fills_up_a_prompt_is_a_token_that_it_has() -> None:
    seen = []
    MODEL.generate([[1, 2, 3], [4]], 1, processors=[lambda ids, logits: (seen.append(ids.tolist()), logits)[1]])
    assert seen == [[[1, 2, 3], [4, 4, 4]]]


def test_windows_go_on_beyond_the_learned_positions() -> None:
    with pytest.raises(ValueError, match="32 positions were learned; ask for fewer, or pass window=32"):
        MODEL.generate([[1] * 10], 24)
    assert MODEL.generate([[1] * 10], 23).shape == (1, 33)  # the last token is not looked at
    assert MODEL.generate([[1] * 10], 40, window=32).shape == (1, 50)
    model, seen = gpt(), []
    original = model.next_logits
    model.next_logits = lambda ids: (seen.append(ids.tolist()), original(ids))[1]  # type: ignore[method-assign]
    ids = model.generate([[1, 2, 3]], 3, temperature=0, window=4).tolist()
    assert seen == [[ids[0][:3]], [ids[0][:4]], [ids[0][1:5]]]


def test_rotary_models_have_no_last_position() -> None:
    assert gpt("llama").generate([[1] * 10], 40).shape == (1, 50)


def drawn(logits: np.ndarray, n: int = 20000, **how: Any) -> np.ndarray:
    """How often each token is drawn."""
    model = gpt()
    model.next_logits = lambda *args: Tensor(np.tile(logits, (n, 1)), "float64")  # type: ignore[method-assign]
    new = model.generate(np.zeros((n, 1), int), 1, generator=seeded(), **how).data[:, 1]
    return np.bincount(new, minlength=len(logits)) / n


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_with_their_probabilities(temperature: float) -> None:
    logits = seeded().normal(size=17) * 2
    expected = processors.softmax(logits[None] / temperature)[0]
    chi_square = 20000 * ((drawn(logits, temperature=temperature) - expected) ** 2 / expected).sum()
    assert chi_square < 39.3  # 16 degrees of freedom, 0.1 %


def test_what_is_cut_is_never_drawn() -> None:
    logits = np.log([0.4, 0.3, 0.2, 0.06, 0.04])
    for how, kept in (({"top_k": 2}, 2), ({"top_p": 0.7}, 2), ({"top_p": 0.75}, 3), ({"min_p": 0.2}, 3)):
        shares = drawn(logits, 4000, **how)
        assert np.all(shares[:kept] > 0) and not shares[kept:].any()
        expected = np.exp(logits[:kept]) / np.exp(logits[:kept]).sum()
        np.testing.assert_allclose(shares[:kept], expected, atol=0.03)


def test_a_probability_of_zero_is_never_drawn() -> None:
    class Highest(np.random.Generator):
        def random(self, *args: Any, **how: Any) -> Any:
            return np.full(*args, np.nextafter(1, 0))

    model = gpt()
    model.next_logits = lambda *args: Tensor([[-np.inf, 0.0, 0.0, -np.inf]])  # type: ignore[method-assign]
    assert model.generate([1], 1, generator=Highest(np.random.PCG64())).tolist() == [1, 2]


GOLDEN = np.load(Path(__file__).parent / "golden" / "processors.npz")
MAKERS = {
    "temperature": processors.temperature(0.7),
    "top_k": processors.top_k(5),
    "top_p": processors.top_p(0.8),
    "min_p": processors.min_p(0.1),
    "repetition_penalty": processors.repetition_penalty(1.3),
}


@pytest.mark.parametrize("name", MAKERS)
def test_processors_equal_transformers_and_change_nothing(name: str) -> None:
    ids, logits = GOLDEN["ids"].copy(), GOLDEN["logits"].copy()
    np.testing.assert_allclose(MAKERS[name](ids, logits), GOLDEN[name], rtol=1e-14)
    assert np.array_equal(ids, GOLDEN["ids"]) and np.array_equal(logits, GOLDEN["logits"])


def test_cuts_at_their_ends_keep_one_token_or_all() -> None:
    ids, logits = np.zeros((1, 1), int), seeded().normal(size=(1, 9))
    for cut in (processors.top_k(1), processors.top_p(0.0), processors.min_p(1.0)):
        assert np.isfinite(cut(ids, logits)).sum() == 1
    for cut in (processors.top_k(9), processors.top_k(99), processors.top_p(1.0), processors.min_p(0.0)):
        assert np.array_equal(cut(ids, logits), logits)


def test_top_p_of_1_drops_nothing() -> None:
    logits = np.log(seeded(3).random((50, 3000)) ** 8 + 1e-30)
    assert np.array_equal(processors.top_p(1.0)(np.zeros((50, 1), int), logits), logits)
    assert np.isinf(processors.top_p(1 - 1e-12)(np.zeros((50, 1), int), logits)).any()


class Zeros(np.random.Generator):
    def random(self, *args: Any, **kwargs: Any) -> Any:
        return np.zeros(*args)


def test_a_draw_of_exactly_0_takes_no_token_of_probability_0() -> None:
    logits = np.array([[-np.inf, -np.inf, 0.0, 1.0], [5.0, 0.0, 0.0, 0.0]])
    assert choose(logits, False, Zeros(np.random.PCG64())).tolist() == [2, 0]


def test_a_stop_that_can_be_looked_at_once_stops_every_row() -> None:
    free = MODEL.generate([[1], [2]], 12, temperature=0).data[:, 1:]
    stop = [int(free[0, 2]), int(free[1, 3])]
    once = MODEL.generate([[1], [2]], 12, temperature=0, stop=iter(stop))
    assert once.tolist() == MODEL.generate([[1], [2]], 12, temperature=0, stop=stop).tolist()


def test_own_processors_come_last_and_see_all_tokens() -> None:
    seen = []

    def only_three(ids: np.ndarray, logits: np.ndarray) -> np.ndarray:
        seen.append(ids.tolist())
        return np.where(np.arange(17) == 3, logits, -np.inf)

    assert MODEL.generate([1, 2], 2, processors=[only_three]).tolist() == [1, 2, 3, 3]
    assert seen == [[[1, 2]], [[1, 2, 3]]]


def test_the_encoder_decoder_generates() -> None:
    model = lively(EncoderDecoder(config("original"), dtype="float64")).eval()
    source, mask = tokens(2, 5), [[1] * 5, [1, 1, 1, 0, 0]]
    out = model.generate(source, 6, start=1, source_mask=mask, temperature=0)
    assert out.shape == (2, 7) and np.all(out.data[:, 0] == 1)
    assert out.tolist()[1] == model.generate(source[1:, :3], 6, start=1, temperature=0).tolist()[0]
    logits = model(source, out.data[:, :-1], mask).data
    assert np.array_equal(logits.argmax(axis=-1), out.data[:, 1:])


def overwrite(ids: np.ndarray, logits: np.ndarray) -> np.ndarray:
    ids[:, 0] = 3
    return logits


SEQ2SEQ = EncoderDecoder(config("original"))
WRONG: dict[str, tuple[Any, str]] = {
    "no tokens": (lambda: MODEL.generate([], 1), "at least one token"),
    "no tokens in one row": (lambda: MODEL.generate([[1], []], 1), "at least one token"),
    "floats": (lambda: MODEL.generate([[1.5]], 1), "they are integers"),
    "words": (lambda: MODEL.generate(["a"], 1), "the form is (B, T)"),
    "three axes": (lambda: MODEL.generate(np.zeros((1, 1, 1), int), 1), "the form is (B, T)"),
    "token out of range": (lambda: MODEL.generate([99], 1), "index 99 in a table of 17 rows"),
    "negative count": (lambda: MODEL.generate([1], -1), "must be an int, at least 0"),
    "half a token": (lambda: MODEL.generate([1], 1.5), "must be an int, at least 0"),  # type: ignore[arg-type]
    "negative temperature": (lambda: MODEL.generate([1], 1, temperature=-1), "must be 0"),
    "temperature NaN": (lambda: MODEL.generate([1], 1, temperature=np.nan), "must be 0"),
    "top_k of none": (lambda: MODEL.generate([1], 1, top_k=0), "k is 0; it must be an int, at least 1"),
    "top_p above 1": (lambda: MODEL.generate([1], 1, top_p=1.5), "top_p: p is 1.5; it must be a probability"),
    "min_p below 0": (lambda: MODEL.generate([1], 1, min_p=-0.1), "min_p: p is -0.1; it must be a probability"),
    "penalty of 0": (lambda: MODEL.generate([1], 1, repetition_penalty=0), "above 0"),
    "no window": (lambda: MODEL.generate([1], 1, window=0), "at least 1"),
    "half a stop": (lambda: MODEL.generate([1], 1, stop=[1.5]), "a stop token is 1.5"),  # type: ignore[list-item]
    "stop of 1.0": (lambda: MODEL.generate([1], 1, stop=1.0), "a stop token is 1.0"),  # type: ignore[arg-type]
    "list of stops": (lambda: MODEL.generate([1], 1, stop=[[1, 2]]), "a stop token is [1, 2]"),  # type: ignore[list-item]
    "stop elsewhere": (lambda: MODEL.generate([1], 1, stop=[3, 17]), "17 as pad_token or stop; tokens are below 17"),
    "padding elsewhere": (lambda: MODEL.generate([1], 1, pad_token=17), "17 as pad_token or stop"),
    "negative padding": (lambda: MODEL.generate([1], 1, pad_token=-1), "pad_token is -1"),
    "target padded elsewhere": (lambda: SEQ2SEQ.generate([[1]], 1, 1, pad_token=99), "99 as pad_token or stop"),
    "no temperature": (lambda: MODEL.generate([1], 1, temperature=None), "temperature is None"),  # type: ignore[arg-type]
    "words as p": (lambda: MODEL.generate([1], 1, top_p="0.9"), "p is '0.9'"),  # type: ignore[arg-type]
    "words as penalty": (lambda: processors.repetition_penalty("2"), "penalty is '2'"),  # type: ignore[arg-type]
    "generator": (lambda: MODEL.generate([1], 1, generator=3), "generator is a int"),  # type: ignore[arg-type]
    "stream, top_k of none": (lambda: MODEL.stream([1], 1, top_k=0), "k is 0"),
    "stream, padding": (lambda: MODEL.stream([1], 1, pad_token=17), "17 as pad_token"),
    "stream, too long": (lambda: MODEL.stream([1], 99), "32 positions were learned"),
    "stream, unknown": (lambda: MODEL.stream([1], 1, beams=3), "unexpected keyword argument 'beams'"),
    "written tokens": (lambda: MODEL.generate([1], 1, processors=[overwrite]), "read-only"),
    "nothing left": (lambda: MODEL.generate([1], 1, processors=[lambda ids, x: x - np.inf]), "no token is left"),
    "other shape": (lambda: MODEL.generate([1], 1, processors=[lambda ids, x: x[0]]), "the shape must stay"),
    "NaN": (lambda: MODEL.generate([1], 1, processors=[lambda ids, x: x * np.nan]), "has a NaN"),
    "NaN, greedy": (lambda: MODEL.generate([1], 1, 0, processors=[lambda ids, x: x * np.nan]), "has a NaN"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused(case: str) -> None:
    run, words = WRONG[case]
    with pytest.raises((ValueError, TypeError, IndexError, FloatingPointError)) as caught:
        run()
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
