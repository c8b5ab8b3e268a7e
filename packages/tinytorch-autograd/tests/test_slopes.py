"""Slopes where a function ends, bends or is infinite: PyTorch's, where it has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.autograd import grad
from tinytorch.tensor import Tensor

INF, NAN = float("inf"), float("nan")
SLOPES: list[tuple[str, Callable[..., Any], list[float], list[float]]] = [
    ("expm1", tt.expm1, [-INF, 0.0, INF], [0.0, 1.0, INF]),
    ("log1p", tt.log1p, [-1.0, 0.0, INF], [INF, 1.0, 0.0]),
    ("log2 of zero", tt.log2, [0.0, INF], [INF, 0.0]),
    ("log10 of zero", tt.log10, [0.0, INF], [INF, 0.0]),
    ("arcsin at its ends", tt.arcsin, [-1.0, 0.0, 1.0], [INF, 1.0, INF]),
    ("arccos at its ends", tt.arccos, [-1.0, 0.0, 1.0], [-INF, -1.0, -INF]),
    ("arctan at infinity", tt.arctan, [-INF, 0.0, INF], [0.0, 1.0, 0.0]),
    ("sinh and cosh", lambda x: x.sinh() + x.cosh(), [0.0, INF], [1.0, INF]),
    ("reciprocal", tt.reciprocal, [0.0, 1.0, INF], [-INF, -1.0, 0.0]),
    ("square", tt.square, [-INF, 0.0, INF, NAN], [-INF, 0.0, INF, NAN]),
    ("reciprocal root of zero", lambda x: x**-0.5, [0.0, 1.0, INF], [-INF, -0.5, 0.0]),
    ("arctan2 on the axes", lambda x: tt.arctan2(x, [1.0, -1.0, 0.0]), [0.0, 0.0, 1.0], [1.0, -1.0, 0.0]),
    ("arctan2 at the origin", lambda x: tt.arctan2(x, 0.0), [0.0], [0.0]),
    ("round", lambda x: x.round(1), [0.25, INF], [0.0, 0.0]),
    ("logsumexp next to minus infinity", tt.logsumexp, [-INF, 1.0], [0.0, 1.0]),
    ("logsumexp of nothing", tt.logsumexp, [-INF, -INF], [0.0, 0.0]),
    ("logsumexp with infinity", tt.logsumexp, [INF, 1.0], [NAN, 0.0]),
    ("norm of zeros", tt.norm, [0.0, 0.0], [0.0, 0.0]),
    ("norm with infinity", tt.norm, [INF, 1.0], [NAN, 0.0]),
    ("norm by absolute values", lambda x: x.norm(1), [0.0, -3.0, INF], [0.0, -1.0, 1.0]),
    ("norm by the largest, zeros", lambda x: x.norm(INF), [0.0, 0.0], [0.0, 0.0]),
    ("norm by the largest, equals", lambda x: x.norm(INF), [2.0, -2.0, 1.0], [0.5, -0.5, 0.0]),
    ("cumprod with a zero", lambda x: x.cumprod(), [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]),
    ("median of equals", tt.median, [1.0, 1.0, 2.0, 0.0], [0.5, 0.5, 0.0, 0.0]),
    ("median of a NaN", tt.median, [1.0, NAN, 2.0], [0.0, 1.0, 0.0]),
    ("nothing, repeated as often", lambda x: x.repeat([]), [], []),
    ("masked_fill over NaN", lambda x: x.masked_fill([True, False], 0.0), [NAN, 2.0], [0.0, 1.0]),
]


@pytest.mark.parametrize(("function", "values", "slopes"), [case[1:] for case in SLOPES], ids=[c[0] for c in SLOPES])
def test_slopes_at_special_values(function: Callable[..., Any], values: list[float], slopes: list[float]) -> None:
    x = Tensor(values, requires_grad=True)
    with np.errstate(all="ignore"):
        function(x).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.data, slopes)


def test_a_norm_of_zeros_has_no_curvature_and_no_nan() -> None:
    x = Tensor([0.0, 0.0], requires_grad=True)
    slope = grad(x.norm(), x, create_graph=True)
    assert grad(slope.sum(), x).tolist() == [0.0, 0.0]


def test_positions_carry_no_gradient() -> None:
    x = Tensor([[0.0, 2.0], [3.0, 0.0]], requires_grad=True)
    for found in (*x.nonzero(), x.argwhere(), x.isinf(), x.logical_not(), x.logical_and(x)):
        assert not found.requires_grad
    x[x.nonzero()].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("number", [20, 3000])
def test_columns_read_many_times_get_the_sum(number: int) -> None:
    places = np.random.default_rng(0).integers(-4, 4, (number, 2))
    x = Tensor(np.ones((3, 4, 2)), "float64", requires_grad=True)
    weights = np.random.default_rng(1).normal(size=(3, number, 2, 2))
    (x[:, places] * weights).sum().backward()
    expected = np.zeros((3, 4, 2))
    np.add.at(expected, (slice(None), places), weights)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.data, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["take", "repeat", "roll"])
def test_numbers_that_say_how_elements_move_are_watched(name: str) -> None:
    x, numbers = Tensor([1.0, 2.0, 3.0], requires_grad=True), Tensor([1])
    out = getattr(x, name)(numbers)
    numbers[0] = 2
    with pytest.raises(RuntimeError, match="changed in place"):
        out.sum().backward()
