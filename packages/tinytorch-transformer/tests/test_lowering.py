"""A lowered model computes the bits of its modules, or there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.autograd import no_grad
from tinytorch.layers import Module, lower
from tinytorch.tensor import Tensor
from tinytorch.transformer import GPT, FeedForward, PositionalEncoding, TransformerBlock

from .models import FAMILIES, config, gpt, tokens

every_family = pytest.mark.parametrize("family", FAMILIES)
FLOATS = st.sampled_from(["float16", "float32", "float64"])
MODELS = {family: gpt(family) for family in FAMILIES}


def same(found: Any, expected: Tensor) -> None:
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == np.ascontiguousarray(expected.data).tobytes()


def lowered(module: Module) -> Callable[..., Any]:
    function = lower(module)
    assert function is not None
    return function


@given(st.sampled_from(sorted(FAMILIES)), st.integers(1, 3), st.integers(1, 6), FLOATS, FLOATS, FLOATS, st.data())
def test_a_lowered_model_gives_the_same_bits(
    family: str, B: int, T: int, embeddings: str, blocks: str, last: str, data: st.DataObject
) -> None:
    model = MODELS[family].astype(embeddings)
    model.blocks.astype(blocks)
    model.blocks[1].feed_forward.astype(last)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    ids = rng.integers(0, 17, (B, T))
    mask = data.draw(st.sampled_from([None, rng.random((B, T)) < 0.7, (rng.random((B, T)) < 0.7).astype(int)]))
    positions = data.draw(st.sampled_from([None, np.arange(3, 3 + T), rng.integers(0, 30, (B, T))]))
    last_only = data.draw(st.booleans())
    with no_grad():
        expected = model(ids, mask, positions, last_only)
    same(lowered(model)(ids, mask, positions, last_only), expected)


@every_family
def test_a_lowered_model_can_be_run_again_and_again(family: str) -> None:
    model = gpt(family)
    step = lowered(model)
    for position in (0, 3, 3, 1, 29):  # what it remembers of positions is of these
        ids, positions = tokens(2, 1, seed=position), np.array([position])
        same(step(ids, None, positions), model(ids, None, positions))
        positions[0] += 1
        same(step(ids, None, positions), model(ids, None, positions))
    same(step(tokens(1, 4)), model(tokens(1, 4)))


def test_lowered_models_read_the_weights_when_they_run() -> None:
    model, ids = gpt("llama"), tokens(1, 5)
    step = lowered(model)
    for parameter in model.parameters():
        parameter.data = parameter.data * 1.5
    same(step(ids), model(ids))


@pytest.mark.parametrize("learned", [True, False])
def test_lowered_parts_give_the_same_bits(learned: bool) -> None:
    rng = np.random.default_rng(0)
    parts: list[Module] = [PositionalEncoding(16, 8, learned), FeedForward(8, activation="swiglu"), FeedForward(8)]
    parts += [TransformerBlock(config(kind, num_kv_heads=None), causal=True) for kind in ("gpt2", "original", "llama")]
    for part in parts:
        for dtype in ("float16", "float32", "float64"):
            for B, T in ((1, 1), (2, 5)):
                x = rng.standard_normal((B, T, 8)).astype(dtype)
                same(lowered(part)(x), part(Tensor(x, x.dtype)))


def test_lowered_models_raise_the_errors_of_their_modules() -> None:
    model = gpt()
    for args in (([[17]],), ([[1.0]],), ([1],), ([[0] * 33],), ([[0]], None, [32]), ([[0, 1]], [[1]])):
        with pytest.raises((ValueError, TypeError, IndexError)) as expected:
            model(*args)
        with pytest.raises(type(expected.value)) as found:
            lowered(model)(*args)
        assert str(found.value) == str(expected.value)


REPLACED = ["", "blocks.0", "blocks.1.attention", "blocks.0.feed_forward", "blocks.1.norm1", "norm", "token_embedding"]


@pytest.mark.parametrize("name", REPLACED)
def test_a_model_with_a_part_that_was_replaced_is_not_lowered(name: str) -> None:
    model = gpt()
    part = model.get_submodule(name)
    part.forward = lambda *args: args[0]  # type: ignore[method-assign]
    assert lower(model) is None
    del part.forward
    assert lower(model) is not None
    handle = part.register_forward_hook(lambda *args: None)
    assert lower(model) is None
    handle.remove()
    assert lower(model) is not None


STEPS = ["hidden", "logits", "blocks.0.attention.project", "blocks.0.attention.attend", "blocks.1.attention.merge"]


@pytest.mark.parametrize("name", STEPS)
def test_a_model_with_a_step_that_was_replaced_is_not_lowered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = gpt("llama")
    owner, _, step = name.rpartition(".")
    part = model.get_submodule(owner)
    setattr(part, step, getattr(part, step))
    assert lower(model) is None
    delattr(part, step)
    assert lower(model) is not None
    monkeypatch.setattr(type(part), step, lambda *args: None)
    assert lower(model) is None


def test_dropout_that_is_active_is_not_lowered() -> None:
    model = GPT(17, 8, 1, 2, 16, dropout=0.1)
    assert lower(model) is None
    assert lower(model.eval()) is not None
    for part in (model.blocks[0], model.blocks[0].attention):
        part.training = True
        assert lower(model) is None
        part.training = False


def test_a_core_is_lowered_when_it_says_how() -> None:
    model, ids = gpt(), tokens(1, 4)
    attention, original = model.blocks[0].attention, model.blocks[0].attention.core
    attention.core = lambda *args: original(*args)
    assert lower(model) is None

    class Core:
        def __call__(self, *args: Any) -> Tensor:
            return original(*args) * 2

        def lower(self) -> Callable[..., Any]:
            function = lowered(original)  # type: ignore[arg-type]
            return lambda *args: function(*args) * 2

    attention.core = Core()
    same(lowered(model)(ids), model(ids))


def test_a_block_that_attends_to_another_sequence_is_not_lowered() -> None:
    assert lower(TransformerBlock(config("original"), cross=True)) is None
