"""Numbers at the ends of what a dtype holds: float16 is computed in float32, and -inf is a number like others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.autograd import grad
from tinytorch.spatial import MaxPool2d, adaptive_avg_pool2d, avg_pool2d, batch_norm, conv2d, max_pool2d
from tinytorch.tensor import Tensor, ones

rng = np.random.default_rng(0)


def both(values: Any) -> tuple[Tensor, Tensor]:
    """The same numbers in float16 and float64."""
    halves = np.asarray(values, np.float16)
    return Tensor(halves, np.float16, requires_grad=True), Tensor(halves, np.float64, requires_grad=True)


@pytest.mark.parametrize(("mean", "deviation"), [(0, 1), (1000, 400), (0, 0.01)])
def test_batch_norm_of_float16_is_computed_in_float32(mean: float, deviation: float) -> None:
    half, wide = both(rng.normal(mean, deviation, size=(64, 3, 8, 8)))
    out, expected = batch_norm(half, training=True), batch_norm(wide, training=True)
    assert out.dtype == np.float16
    np.testing.assert_allclose(out.data, expected.data, atol=2e-3, rtol=1e-3)
    weights = rng.normal(size=half.shape)
    (slope,) = grad((out * Tensor(weights, np.float16)).sum(), [half])
    (expected_slope,) = grad((expected * Tensor(weights, np.float64)).sum(), [wide])
    assert slope.dtype == np.float16
    np.testing.assert_allclose(
        slope.data, expected_slope.data, rtol=0.01, atol=0.01 * np.abs(expected_slope.data).max()
    )


CALLS: list[Callable[[Tensor], Tensor]] = [
    lambda x: avg_pool2d(x, 3),
    lambda x: avg_pool2d(x, 3, stride=2, padding=1),
    lambda x: adaptive_avg_pool2d(x, 1),
    lambda x: conv2d(x, Tensor(np.full((1, 2, 3, 3), 1 / 16), np.float16)),
]


@pytest.mark.parametrize("call", CALLS)
def test_sums_of_large_numbers_of_float16_do_not_overflow(call: Callable[[Tensor], Tensor]) -> None:
    half, wide = both(np.full((2, 2, 6, 6), 30_000))
    out = call(half)
    assert out.dtype == np.float16
    np.testing.assert_allclose(out.data, call(wide).data, rtol=1e-3)
    (slope,) = grad(out.mean(), [half])
    assert slope.dtype == np.float16
    np.testing.assert_allclose(slope.data, grad(call(wide).mean(), [wide])[0].data, rtol=1e-3)


@pytest.mark.parametrize("size", [(3, 3), (4, 5)])
@pytest.mark.parametrize("composed", [False, True])
def test_gradients_of_windows_of_minus_infinity_go_to_their_first_pixel(size: tuple[int, int], composed: bool) -> None:
    """As in PyTorch: padding, though equal, is not a pixel."""
    x = Tensor(np.full((1, 1, *size), -np.inf), np.float64, requires_grad=True)
    out = max_pool2d(x, 3, stride=2, padding=1)
    assert np.isneginf(out.data).all()
    g = rng.normal(size=out.shape)
    expected = np.zeros(size)
    for row, column in np.ndindex(*out.shape[2:]):
        expected[max(2 * row - 1, 0), max(2 * column - 1, 0)] += g[0, 0, row, column]
    (slope,) = grad(out, [x], Tensor(g, np.float64), create_graph=composed)
    np.testing.assert_allclose(slope.data[0, 0], expected)


def test_a_pixel_above_minus_infinity_still_gets_the_gradient() -> None:
    image = np.full((1, 1, 4, 4), -np.inf)
    image[0, 0, 1, 2] = -1e300
    x = Tensor(image, np.float64, requires_grad=True)
    out = MaxPool2d(4, padding=2)(x)  # four windows, three of them without the pixel
    (slope,) = grad(out, [x], ones(1, 1, *out.shape[2:], dtype=np.float64))
    expected = np.zeros((4, 4))
    expected[0, 0] = expected[1, 2] = expected[2, 0] = expected[2, 2] = 1
    np.testing.assert_array_equal(slope.data[0, 0], expected)
