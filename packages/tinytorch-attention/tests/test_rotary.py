"""Rotary positions turn, and only differences of positions matter."""

from __future__ import annotations

import numpy as np
import pytest

from tinytorch.attention import RotaryEmbedding, rotate
from tinytorch.autograd import gradcheck, gradgradcheck
from tinytorch.tensor import Tensor, randn


def test_products_depend_on_the_distance_only() -> None:
    rotary = RotaryEmbedding(8)
    q, k = randn(1, 1, 1, 8, dtype="float64"), randn(1, 1, 1, 8, dtype="float64")

    def product(i: int, j: int) -> float:
        return float((rotary(q, [i]) * rotary(k, [j])).sum().item())

    assert product(3, 1) == pytest.approx(product(102, 100), abs=1e-12)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-3)


def test_rotating_keeps_lengths_and_leaves_position_zero() -> None:
    x = randn(2, 3, 5, 6, dtype="float64")
    turned = RotaryEmbedding(6)(x)
    np.testing.assert_allclose(np.linalg.norm(turned.data, axis=-1), np.linalg.norm(x.data, axis=-1))
    assert np.array_equal(turned.data[:, :, 0], x.data[:, :, 0])


def test_angles_are_those_of_the_formula() -> None:
    x = Tensor([[[[1.0, 1.0, 0.0, 0.0]] * 3]], "float64")
    turned = RotaryEmbedding(4, base=100.0)(x).data[0, 0]
    angles = np.outer(np.arange(3), [1.0, 0.1])
    np.testing.assert_allclose(turned, np.concatenate([np.cos(angles), np.sin(angles)], axis=1), atol=1e-15)


def test_positions_are_an_argument() -> None:
    rotary, x = RotaryEmbedding(4), randn(2, 1, 3, 4, dtype="float64")
    whole = rotary(randn(1, 1, 200, 4, dtype="float64"))  # makes the table longer; earlier angles stay
    assert whole.shape == (1, 1, 200, 4)
    assert np.array_equal(rotary(x).data, rotary(x, [0, 1, 2]).data)
    each = rotary(x, [[0, 1, 2], [5, 6, 7]]).data
    assert np.array_equal(each[0], rotary(x[:1], [0, 1, 2]).data[0])
    assert np.array_equal(each[1], rotary(x[1:], [5, 6, 7]).data[0])


def test_linear_scaling_slows_every_pair() -> None:
    x = randn(1, 1, 2, 4, dtype="float64")
    slow = RotaryEmbedding(4, scaling={"rope_type": "linear", "factor": 2.0})
    np.testing.assert_allclose(slow(x, [4, 6]).data, RotaryEmbedding(4)(x, [2, 3]).data, atol=1e-15)


def test_factors_slow_each_pair_by_its_own() -> None:
    rotary = RotaryEmbedding(4, scaling={"rope_type": "factors", "factors": [1.0, 3.0]})
    cos, sin = rotary.tables(2, None, np.dtype(np.float64))
    np.testing.assert_allclose(np.arctan2(sin[1], cos[1]), [1.0, 0.01 / 3], rtol=1e-12)


LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip


def test_llama3_scaling_slows_slow_pairs_only() -> None:
    rotary = RotaryEmbedding(128, base=500000.0, scaling=LLAMA3)
    cos, sin = rotary.tables(2, None, np.dtype(np.float64))
    plain = 500000.0 ** (-np.arange(0, 128, 2) / 128)
    for frequency, slowed in zip(plain, np.arctan2(sin[1], cos[1]), strict=True):
        turns = 8192 * frequency / (2 * np.pi)
        if turns > 4:
            expected = frequency
        elif turns < 1:
            expected = frequency / 8
        else:
            share = (turns - 1) / 3
            expected = (1 - share) * frequency / 8 + share * frequency
        assert slowed == pytest.approx(expected, rel=1e-9)


def test_gradients_equal_finite_differences() -> None:
    x = randn(1, 1, 2, 4, dtype="float64", requires_grad=True)
    cos, sin = RotaryEmbedding(4).tables(2, None, np.dtype(float))
    assert gradcheck(lambda x: rotate(x, cos=cos, sin=sin), x)
    assert gradgradcheck(lambda x: rotate(x, cos=cos, sin=sin) * x, x)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RotaryEmbedding(3), "must be even"),
        (lambda: RotaryEmbedding(4, base=1.0), "above 1"),
        (lambda: RotaryEmbedding(4, scaling={"rope_type": "yarn"}), "'yarn'"),
        (lambda: RotaryEmbedding(4, base=float("inf")), "above 1"),
        (lambda: RotaryEmbedding(4, scaling={"type": "linear"}), "sets factor to None; it must be a number above 0"),
        (lambda: RotaryEmbedding(4, scaling={"type": "linear", "factor": 0}), "sets factor to 0; "),
        (lambda: RotaryEmbedding(4, scaling={"type": "linear", "factor": float("nan")}), "sets factor to nan; "),
        (lambda: RotaryEmbedding(4, scaling={"type": "linear", "factor": True}), "sets factor to True; "),
        (lambda: RotaryEmbedding(4, scaling={**LLAMA3, "high_freq_factor": 1.0}), "the first is smaller"),
        (lambda: RotaryEmbedding(4, scaling={"rope_type": "factors"}), "factors to (0,)"),
        (
            lambda: RotaryEmbedding(4, scaling={"rope_type": "factors", "factors": [1, 2, 3]}),
            "one number above 0 for each",
        ),
        (
            lambda: RotaryEmbedding(4, scaling={"rope_type": "factors", "factors": [1, 0]}),
            "factors to not numbers above",
        ),
        (lambda: RotaryEmbedding(4)(randn(1, 1, 2, 6)), "(B, H, T, 4)"),
        (lambda: RotaryEmbedding(4)(randn(1, 1, 2, 4), [0, 1, 2]), "give (T,) or (B, T)"),
        (lambda: RotaryEmbedding(4)(randn(1, 1, 2, 4), [-1, 0]), "count from 0"),
        (lambda: RotaryEmbedding(4)(randn(1, 1, 2, 4), [0.0, 1.0]), "they are integers"),
    ],
)
def test_wrong_arguments_are_refused(make: object, words: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        make()  # type: ignore[operator]
    assert words in str(caught.value)


def test_tables_follow_the_dtype_of_what_is_rotated() -> None:
    x = randn(1, 2, 50, 8, dtype="float64")
    rotary, exact = RotaryEmbedding(8), RotaryEmbedding(8)(x).data
    assert rotary(x.astype("float32")).dtype == np.float32
    assert np.array_equal(rotary(x).data, exact)
    assert rotary(x.astype("float32")).dtype == np.float32
