"""The product with codes is the product with the numbers that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.autograd import grad, gradcheck
from tinytorch.layers import Embedding, Linear, Module, lower
from tinytorch.layers import functional as F
from tinytorch.quantization import (
    QuantizedEmbedding,
    QuantizedLinear,
    Scheme,
    dequantize_rows,
    quantize,
    quantized_embedding,
    quantized_linear,
)
from tinytorch.quantization import linear as linear_module
from tinytorch.tensor import Tensor

SCHEMES = [Scheme(), Scheme(8, 4), Scheme(8, 4, False), Scheme(4), Scheme(4, 4), Scheme(3, 2, False), Scheme(5)]
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=Scheme.describe)


def normal(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray[Any, np.dtype[Any]]:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@every_scheme
@given(st.lists(st.integers(0, 3), max_size=3), st.integers(1, 5), st.booleans(), st.sampled_from([1, 5, 2**16]))
def test_product_is_that_with_the_numbers(scheme: Scheme, leading: list[int], m: int, biased: bool, block: int) -> None:
    codes = scheme.quantize(normal(m, 8, dtype="float64"))
    x, bias = normal(*leading, 8, dtype="float64", seed=1), normal(m, dtype="float64") if biased else None
    with pytest.MonkeyPatch.context() as patch:  # blocks of a few rows, and all rows in one
        patch.setattr(linear_module, "row_blocks", lambda rows, n: _blocks(rows, block))
        found = quantized_linear(Tensor(x, "float64"), *codes, bias)
    expected = x @ dequantize_rows(*codes).T + (0 if bias is None else bias)
    assert found.shape == expected.shape and found.dtype == np.float64
    np.testing.assert_allclose(found.data, expected, rtol=1e-12, atol=1e-12)


def _blocks(rows: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


@every_scheme
@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_gradients_reach_x_and_the_bias(scheme: Scheme, leading: tuple[int, ...]) -> None:
    weight, scale, zero_point = scheme.quantize(normal(5, 8, dtype="float64"))

    def function(x: Tensor, bias: Tensor) -> Tensor:
        return quantized_linear(x, weight, scale, zero_point, bias) ** 2

    inputs = [Tensor(normal(*shape, dtype="float64"), "float64", requires_grad=True) for shape in ((*leading, 8), (5,))]
    assert gradcheck(function, inputs)


def test_gradient_can_be_differentiated_again() -> None:
    codes = Scheme(8, 4).quantize(normal(5, 8, dtype="float64"))
    x = Tensor(normal(2, 8, dtype="float64"), "float64", requires_grad=True)
    first = grad((quantized_linear(x, *codes) ** 2).sum(), x, create_graph=True)
    second = grad((first * first).sum(), x)
    W = dequantize_rows(*codes)
    A = 2 * W.T @ W  # the gradient is x A
    np.testing.assert_allclose(second.data, 2 * x.data @ A @ A.T, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_keep_the_dtype_of_the_model(dtype: str) -> None:
    layer = quantize(Linear(8, 4, dtype=dtype))
    assert layer(Tensor(normal(2, 8, dtype=dtype), dtype)).dtype == dtype
    assert layer(Tensor(np.arange(8))).dtype == dtype
    table = quantize(Embedding(8, 4, dtype=dtype))
    assert table([1]).dtype == dtype
    assert table.unembed(table([1])).dtype == dtype


def test_half_precision_is_computed_in_single() -> None:
    layer = quantize(Linear(8, 4, dtype="float16"))
    x = normal(2, 8, dtype="float16")
    expected = F.linear(x.astype("float32"), layer.numbers().T, layer.bias.data.astype("float32"))
    found = layer(Tensor(x, "float16"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-5, atol=1e-6)


@every_scheme
@pytest.mark.parametrize("biased", [True, False])
def test_lowered_layer_is_the_layer(scheme: Scheme, biased: bool) -> None:
    layer = QuantizedLinear.from_float(Linear(8, 6, bias=biased), scheme)
    for x in (normal(8), normal(3, 8), normal(2, 3, 8), normal(0, 8)):
        assert_lowered(layer, "forward", x)


@every_scheme
def test_lowered_table_is_the_table(scheme: Scheme) -> None:
    table = QuantizedEmbedding.from_float(Embedding(8, 4), scheme)
    for indices in (np.array(3), np.array([[1, 7]]), np.zeros((2, 0), int)):
        assert_lowered(table, "forward", indices)
    assert_lowered(table, "unembed", normal(2, 4))


def assert_lowered(module: Module, method: str, x: np.ndarray[Any, Any]) -> None:
    function = lower(module, method)
    assert function is not None
    expected = getattr(module, method)(Tensor(x, x.dtype)).data
    found = function(x)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def test_lowered_layer_reads_the_numbers_when_it_runs() -> None:
    layer = QuantizedLinear.from_float(Linear(8, 6), Scheme(8, symmetric=False))
    function, x = lower(layer), normal(2, 8)
    for name, value in {"weight": 3, "scale": 2.0, "zero_point": 1, "bias": 0.5}.items():
        getattr(layer, name).data[...] = value
    assert function is not None
    np.testing.assert_allclose(function(x), np.repeat(4 * x.sum(1, keepdims=True) + 0.5, 6, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bits", [8, "bfloat16"])
def test_lowered_table_follows_a_change_of_dtype(bits: Any) -> None:
    table = quantize(Embedding(8, 4), bits)
    function = lower(table)
    assert function is not None and function(np.array([1])).dtype == np.float32
    table.astype("float64")
    assert function(np.array([1])).dtype == table([1]).dtype


@every_scheme
def test_rows_of_a_table_are_its_numbers(scheme: Scheme) -> None:
    rows = normal(6, 8, dtype="float64")
    codes = scheme.quantize(rows)
    indices = np.array([[0, 5, 5], [2, 1, 0]])
    found = quantized_embedding(indices, *codes)
    assert np.array_equal(found.data, dequantize_rows(*codes)[indices].astype("float32"))


def test_a_row_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError, match="index 8 in a table of 8 rows"):
        quantize(Embedding(8, 4))([8])
    with pytest.raises(TypeError, match="must be integers"):
        quantize(Embedding(8, 4))([1.5])


WRONG: dict[str, tuple[Any, ...]] = {
    "weight is": (normal(8), np.zeros((4, 8), np.int16), np.ones((4, 1))),
    "it must be \\(out, in\\) int8": (normal(8), np.zeros(8, np.int8), np.ones((4, 1))),
    "scale is": (normal(8), np.zeros((4, 8), np.int8), np.ones((3, 1))),
    "it must be \\(rows, groups\\)": (normal(8), np.zeros((4, 8), np.int8), np.ones((4, 3))),
    "zero_point is": (normal(8), np.zeros((4, 8), np.int8), np.ones((4, 1)), np.zeros((4, 1), np.uint8)),
    "8 input features": (normal(4), np.zeros((4, 8), np.int8), np.ones((4, 1))),
    "16 input features": (normal(8), np.zeros((4, 8), np.uint8), np.ones((4, 1))),
    "bias of shape": (normal(8), np.zeros((4, 8), np.int8), np.ones((4, 1)), None, np.ones(3)),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_refused(message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        quantized_linear(*WRONG[message])
