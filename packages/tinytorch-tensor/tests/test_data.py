"""`Tensor.data` can be replaced, by what a tensor can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.tensor import DTypeError, Tensor, check_int


def test_data_takes_an_array_of_the_same_dtype_and_any_shape() -> None:
    x = Tensor([1.0, 2.0])
    array = np.ones((3, 1), np.float32)
    x.data = array
    assert x.data is array and x.shape == (3, 1)


def test_data_takes_the_array_inside_a_tensor() -> None:
    x, gradient = Tensor([1.0, 2.0]), Tensor([10.0, 20.0])
    x.data = x.data - 0.1 * gradient  # type: ignore[assignment]
    assert type(x.data) is np.ndarray and x.tolist() == [0.0, 0.0]


def test_data_is_changed_in_place_by_arithmetic_and_by_indices() -> None:
    x = Tensor([1.0, 2.0])
    array = x.data
    x.data *= 1.5
    x.data[0] = 7.0
    assert x.data is array and x.tolist() == [7.0, 3.0]


def test_data_of_one_number_stays_an_array() -> None:
    x = Tensor(2.0)
    x.data = x.data - np.float32(0.5)
    assert type(x.data) is np.ndarray and x.item() == 1.5


@pytest.mark.parametrize("wrong", [[1.0, 2.0], 5, 2.5, "abc", None, True])
def test_data_refuses_what_is_not_an_array(wrong: Any) -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match=r"data: .* is not an array; assign an ndarray or a tensor"):
        x.data = wrong
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("wrong", [np.ones(2), np.ones(2, np.int64), Tensor([1, 2]), np.float64(1.0), np.array("a")])
def test_data_refuses_another_dtype_and_names_astype(wrong: Any) -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(DTypeError, match=r"for a tensor of float32; convert it first, with .astype\('float32'\)"):
        x.data = wrong
    assert x.dtype == np.float32


def test_replacing_data_counts_as_a_write() -> None:
    x = Tensor([1.0, 2.0])
    moment = tt.clock()
    x.data *= 2
    assert tt.written_since(x.data, moment)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), Tensor(3)])
def test_check_int_takes_integers_of_every_kind(value: Any) -> None:
    number = check_int("topk", "k", value)
    assert type(number) is int and number == 3


@pytest.mark.parametrize("value", [True, 2.0, "3", None, np.bool_(True), np.float32(2)])
def test_check_int_refuses_what_is_not_an_integer(value: Any) -> None:
    with pytest.raises(TypeError, match=r"topk: k is .*; it must be an int, at least 1"):
        check_int("topk", "k", value, minimum=1)


def test_check_int_refuses_what_is_below_the_minimum() -> None:
    with pytest.raises(ValueError, match="topk: k is 0; it must be an int, at least 1"):
        check_int("topk", "k", 0, minimum=1)
    assert check_int("roll", "shift", -5, minimum=None) == -5
    with pytest.raises(TypeError, match=r"roll: shift is 1.5; it must be an int$"):
        check_int("roll", "shift", 1.5, minimum=None)
