"""Starting values have the distribution that their name says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.layers import Embedding, LayerNorm, Linear, Parameter, init
from tinytorch.tensor import Tensor, manual_seed, zeros

IN, OUT = 200, 300


def fresh() -> Parameter:
    return Parameter(zeros(IN, OUT, dtype="float64"))


def test_constants() -> None:
    weight = fresh()
    assert init.ones(weight) is weight
    assert (weight.data == 1).all()
    assert (init.constant(weight, 2.5).data == 2.5).all()
    assert (init.zeros(weight).data == 0).all()


@pytest.mark.parametrize(
    ("draw", "std", "bound"),
    [
        (lambda w: init.uniform(w, -3, 3), math.sqrt(3), 3.0),
        (lambda w: init.normal(w, std=0.5), 0.5, None),
        (lambda w: init.xavier_uniform(w), math.sqrt(2 / (IN + OUT)), math.sqrt(6 / (IN + OUT))),
        (lambda w: init.xavier_normal(w, gain=2), 2 * math.sqrt(2 / (IN + OUT)), None),
        (lambda w: init.kaiming_uniform(w), math.sqrt(2 / IN), math.sqrt(6 / IN)),
        (lambda w: init.kaiming_uniform(w, a=math.sqrt(5)), math.sqrt(1 / 3 / IN), 1 / math.sqrt(IN)),
        (lambda w: init.kaiming_normal(w, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / OUT), None),
        (lambda w: init.kaiming_normal(w, nonlinearity="tanh"), 5 / 3 / math.sqrt(IN), None),
        (lambda w: init.trunc_normal(w, std=0.02, low=-0.04, high=0.04), 0.02 * 0.8796, 0.04),
    ],
)
def test_spread_and_bounds(draw: Callable[[Tensor], Tensor], std: float, bound: float | None) -> None:
    manual_seed(0)
    weight = draw(fresh())
    assert abs(weight.data.mean()) < 5 * std / math.sqrt(weight.size)
    assert weight.data.std() == pytest.approx(std, rel=0.02)
    if bound is not None:
        assert np.abs(weight.data).max() <= bound
        assert np.abs(weight.data).max() > 0.98 * bound


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (3, 2, 4)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    weight = init.orthogonal(Tensor(np.zeros(shape), "float64"), gain=2.0)
    matrix = weight.data.reshape(shape[0], -1)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_convolution_weights_are_read_as_out_in_kernel() -> None:
    assert init.fans(zeros(8, 3, 5, 5)) == (75, 200)
    assert init.fans(zeros(3, 8)) == (3, 8)


def test_gains_are_pytorchs() -> None:
    assert [init.calculate_gain(kind) for kind in ("linear", "sigmoid", "tanh", "relu")] == [
        1, 1, 5 / 3, math.sqrt(2)
    ]  # fmt: skip
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))


def test_a_generator_decides_and_the_default_one_is_left_alone() -> None:
    rng = np.random.default_rng
    for draw in (
        init.uniform, init.normal, init.xavier_uniform, init.xavier_normal, init.kaiming_uniform,
        init.kaiming_normal, init.orthogonal, init.trunc_normal,
    ):  # fmt: skip
        manual_seed(0)
        one: Any = draw(fresh(), generator=rng(1))
        manual_seed(1)
        other: Any = draw(fresh(), generator=rng(1))
        np.testing.assert_array_equal(one.data, other.data)
    manual_seed(0)
    untouched = init.normal(zeros(3)).data
    manual_seed(0)
    init.normal(zeros(3), generator=rng(1))
    np.testing.assert_array_equal(init.normal(zeros(3)).data, untouched)


def test_layers_start_as_they_say() -> None:
    manual_seed(0)
    linear, embedding, norm = Linear(100, 50), Embedding(200, 50, padding_idx=3), LayerNorm(4)
    assert np.abs(linear.weight.data).max() == pytest.approx(0.1, rel=0.01)
    assert linear.bias is not None
    assert np.abs(linear.bias.data).max() <= 0.1
    assert embedding.weight.data.std() == pytest.approx(1, rel=0.02)
    assert (embedding.weight.data[3] == 0).all()
    assert norm.weight.tolist() == [1] * 4
    assert norm.bias is not None
    assert norm.bias.tolist() == [0] * 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: init.xavier_uniform(zeros(3)), "two axes or more"),
        (lambda: init.orthogonal(zeros(3)), "only matrices"),
        (lambda: init.kaiming_normal(zeros(3, 3), mode="fan"), "'fan_in' or 'fan_out'"),  # type: ignore[arg-type]
        (lambda: init.calculate_gain("gelu"), "known are linear, sigmoid"),  # type: ignore[arg-type]
        (lambda: init.trunc_normal(zeros(3), low=8, high=9), "choose wider bounds"),
        (lambda: init.trunc_normal(zeros(3), mean=math.nan), "choose wider bounds"),
        (lambda: init.trunc_normal(zeros(3), std=0.0), "std is 0.0; it must be positive"),
    ],
)
def test_wrong_requests_are_explained(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_values_are_never_cut_to_integers() -> None:
    whole = Tensor([1, 2])
    for write in (init.normal, lambda tensor: init.constant(tensor, 2.5)):
        with pytest.raises(TypeError, match="dtype int64 cannot hold these values"):
            write(whole)
    assert whole.tolist() == [1, 2]
    assert init.ones(whole).tolist() == [1, 1]
    with pytest.raises(TypeError, match="must be a Tensor or Parameter"):
        init.zeros(np.ones(2))  # type: ignore[type-var]


def test_what_holds_no_numbers_needs_none() -> None:
    for draw in (init.xavier_uniform, init.xavier_normal, init.kaiming_uniform, init.kaiming_normal, init.orthogonal):
        assert draw(zeros(0, 3)).shape == (0, 3)
        assert draw(zeros(0, 0)).shape == (0, 0)


def test_a_tensor_that_may_not_be_written_gets_numbers_of_its_own() -> None:
    shared = np.broadcast_to(np.float32(0), (3,))
    tensor = init.ones(Tensor(shared))
    assert tensor.tolist() == [1, 1, 1]
    assert (shared == 0).all()
