"""Masks say where a query MAY attend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.attention import (
    MultiHeadAttention,
    attention,
    causal_mask,
    combine_masks,
    padding_mask,
    scaled_dot_product_attention,
    sliding_window_mask,
)
from tinytorch.tensor import Tensor, arange, randn


def test_causal_mask_allows_the_past_and_the_present() -> None:
    i, j = np.ogrid[:5, :5]
    assert np.array_equal(causal_mask(5).data, j <= i)
    i, j = np.ogrid[:2, :5]
    assert np.array_equal(causal_mask(2, 5).data, j <= i + 3)


def test_causal_mask_is_what_causal_means() -> None:
    for T, S in ((4, 4), (2, 5), (5, 2)):
        q, k = randn(1, 2, T, 3, dtype="float64"), randn(1, 2, S, 3, dtype="float64")
        np.testing.assert_allclose(
            attention(q, k, k, causal_mask(T, S)).data, attention(q, k, k, causal=True).data, atol=1e-15
        )


def test_sliding_window_allows_the_last_few() -> None:
    i, j = np.ogrid[:6, :6]
    assert np.array_equal(sliding_window_mask(6, 3).data, (j <= i) & (j > i - 3))
    i, j = np.ogrid[:2, :6]
    assert np.array_equal(sliding_window_mask(2, 3, 6).data, (j <= i + 4) & (j > i + 1))
    assert np.array_equal(sliding_window_mask(4, 9).data, causal_mask(4).data)


def test_padding_mask_from_lengths_and_from_counts() -> None:
    expected = [[[[True, True, False]]], [[[True, True, True]]]]
    assert padding_mask([2, 3]).tolist() == expected
    assert padding_mask([[1, 1, 0], [1, 1, 1]]).tolist() == expected
    assert padding_mask(Tensor([[True, True, False], [True, True, True]])).tolist() == expected
    assert padding_mask([1], length=3).tolist() == [[[[True, False, False]]]]


def test_padding_is_never_attended_to() -> None:
    q, k = randn(2, 1, 4, 3, dtype="float64"), randn(2, 1, 4, 3, dtype="float64")
    out = attention(q, k, k, padding_mask([4, 2]))
    np.testing.assert_allclose(out.data[1:], attention(q[1:], k[1:, :, :2], k[1:, :, :2]).data, atol=1e-15)


def test_combining_allows_what_all_allow() -> None:
    both = combine_masks(causal_mask(3), None, padding_mask([2, 3]))
    assert both is not None and both.shape == (2, 1, 3, 3)
    assert np.array_equal(both.data, causal_mask(3).data & padding_mask([2, 3]).data)
    assert combine_masks(None, None) is None


def test_combining_with_an_added_mask_adds() -> None:
    distance = -abs(arange(3).reshape(3, 1) - arange(3)).astype("float64")
    total = combine_masks(causal_mask(3), distance)
    assert total is not None and total.dtype == np.float64
    assert total.tolist() == [[0, -np.inf, -np.inf], [-1, 0, -np.inf], [-2, -1, 0]]


X = randn(1, 2, 3, 4)
TAKERS: dict[str, Callable[[Any], Any]] = {
    "fused": lambda mask: attention(X, X, X, mask),
    "readable": lambda mask: scaled_dot_product_attention(X, X, X, mask),
    "multi-head": lambda mask: MultiHeadAttention(4, 2)(X[0], mask),
    "weights to look at": lambda mask: MultiHeadAttention(4, 2).weights(X[0], mask),
    "training with dropout": lambda mask: MultiHeadAttention(4, 2, dropout=0.5)(X[0], mask),
    "combined": lambda mask: combine_masks(causal_mask(3), mask),
}
takers = pytest.mark.parametrize("taker", TAKERS)
TRIANGLE = np.tril(np.ones((3, 3)))


@takers
@pytest.mark.parametrize("mask", [TRIANGLE, Tensor(TRIANGLE), TRIANGLE.tolist(), np.ones((3, 3), np.float16)])
def test_a_floating_point_mask_of_zeros_and_ones_is_refused(taker: str, mask: Any) -> None:
    with pytest.raises(ValueError, match=r"a floating-point mask of zeros and ones; .*hold 0 and -inf, give mask\.as"):
        TAKERS[taker](mask)


@takers
def test_masks_of_other_floating_point_numbers_are_added(taker: str) -> None:
    for mask in (np.zeros((3, 3)), np.where(TRIANGLE, 0, -np.inf), TRIANGLE - 1, 0.5 * TRIANGLE, 2 * TRIANGLE):
        TAKERS[taker](mask)
    TAKERS[taker](np.where(TRIANGLE, 1, -np.inf))


@takers
def test_masks_of_other_kinds_are_refused(taker: str) -> None:
    with pytest.raises(TypeError, match="complex128; "):
        TAKERS[taker](np.ones((3, 3), complex))


def test_a_mask_of_zeros_and_ones_is_a_boolean_one_when_it_is_converted() -> None:
    expected = attention(X, X, X, causal=True).data
    for mask in (TRIANGLE.astype(bool), TRIANGLE.astype(int), causal_mask(3)):
        np.testing.assert_allclose(attention(X, X, X, mask).data, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: causal_mask(-1), ValueError, "queries is -1; it must be an int, at least 0"),
        (lambda: causal_mask(2.0), TypeError, "queries is 2.0; it must be an int"),  # type: ignore[arg-type]
        (lambda: sliding_window_mask(3, 0), ValueError, "window is 0; it must be an int, at least 1"),
        (lambda: padding_mask([0.5, 1.0]), TypeError, "lengths as integers"),
        (lambda: padding_mask([3, -1]), ValueError, "not lengths"),
        (lambda: padding_mask([5], length=3), ValueError, "does not fit"),
        (lambda: padding_mask([[1, 2]]), ValueError, "values from 1 to 2"),
        (lambda: padding_mask([[[1]]]), ValueError, "shape (1, 1, 1)"),
        (lambda: combine_masks(causal_mask(2), causal_mask(3)), ValueError, "cannot be broadcast"),
        (lambda: combine_masks(Tensor([[2, 0]])), ValueError, "values from 0 to 2"),
    ],
)
def test_wrong_masks_are_refused(make: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        make()  # type: ignore[operator]
    assert words in str(caught.value)
