"""Lowered attention and rotary positions compute the bits of their modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.attention import MultiHeadAttention, RotaryEmbedding, causal_mask
from tinytorch.layers import Module, lower
from tinytorch.tensor import Tensor

FLOATS = ["float16", "float32", "float64"]


def lowered(module: Module) -> Callable[..., Any]:
    function = lower(module)
    assert function is not None
    return function


def same(found: Any, expected: Tensor) -> None:
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == np.ascontiguousarray(expected.data).tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("own", FLOATS)
@pytest.mark.parametrize("T", [1, 5])
def test_lowered_attention_gives_the_same_bits(own: str, dtype: str, T: int) -> None:
    rng = np.random.default_rng(0)
    masks = [None, causal_mask(T).data, rng.random((2, 1, T, T)) < 0.5, rng.normal(size=(T, T)).astype(np.float32)]
    for rotary in (None, RotaryEmbedding(4)):
        layer = MultiHeadAttention(8, 2, 1, causal=rotary is not None, rotary=rotary, generator=rng).astype(own)
        layer.q_proj.astype(dtype)
        x = rng.standard_normal((2, T, 8)).astype(dtype)
        for mask in masks:
            for positions in (None, np.arange(3, 3 + T), rng.integers(0, 9, (2, T))):
                same(lowered(layer)(x, mask, positions), layer(Tensor(x, x.dtype), mask, positions))


def test_lowered_attention_to_another_sequence_gives_the_same_bits() -> None:
    layer = MultiHeadAttention(8, 2)
    x, memory = np.ones((1, 2, 8), np.float32), np.ones((1, 5, 8), np.float32)
    same(lowered(layer)(x, None, None, memory), layer(Tensor(x), kv_input=Tensor(memory)))


def test_lowered_rotary_positions_remember_only_what_cannot_change() -> None:
    rotary = RotaryEmbedding(4)
    turn = lowered(rotary)
    fixed, base = np.array([5]), np.array([5])
    fixed.flags.writeable = False
    seen = base[:]
    seen.flags.writeable = False
    for positions in (fixed, fixed, base, seen):
        for dtype in FLOATS:
            for B, H in ((1, 2), (3, 1)):
                x = np.random.default_rng(0).standard_normal((B, H, 1, 4)).astype(dtype)
                base[0] = (base[0] + 1) % 9
                same(turn(x, positions), rotary(Tensor(x, x.dtype), positions))
    with pytest.raises(ValueError, match=r"positions of shape \(1,\) for 2 tokens"):
        turn(np.ones((1, 1, 2, 4), np.float64), fixed)


def test_lowered_functions_raise_the_errors_of_their_modules() -> None:
    turning = MultiHeadAttention(8, 2, rotary=RotaryEmbedding(4))
    x = np.ones((1, 2, 8), np.float32)
    for args, words in (
        ((x[0],), "the form is"),
        ((x[..., :4],), "the form is"),
        ((x, None, None, x), "two sequences"),
    ):
        with pytest.raises(ValueError, match=words):
            lowered(turning)(*args)
    for wrong in (x, np.ones((1, 1, 2, 6), np.float32)):
        with pytest.raises(ValueError, match="the form is"):
            lowered(RotaryEmbedding(4))(wrong)


def test_what_drops_or_was_replaced_is_not_lowered() -> None:
    layer = MultiHeadAttention(8, 2, dropout=0.5, rotary=RotaryEmbedding(4))
    assert lower(layer) is None
    assert lower(layer.eval()) is not None
    assert layer.rotary is not None
    layer.rotary.forward = lambda x, positions=None: x  # type: ignore[method-assign]
    assert lower(layer) is None
    del layer.rotary.forward
    layer.core = lambda q, k, v, mask, causal: v
    assert lower(layer) is None
