"""Masks say where a query MAY attend."""

from __future__ import annotations

import numpy as np
import pytest

from tinytorch.attention import attention, causal_mask, combine_masks, padding_mask, sliding_window_mask
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


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: causal_mask(-1), TypeError, "give an int from 0"),
        (lambda: causal_mask(2.0), TypeError, "give an int from 0"),  # type: ignore[arg-type]
        (lambda: sliding_window_mask(3, 0), ValueError, "give 1 or more"),
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
