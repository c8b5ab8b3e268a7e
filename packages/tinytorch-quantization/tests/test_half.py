"""Weights of 16 bits stand for the nearest numbers that 16 bits can hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.layers import Embedding, Linear, Sequential, lower
from tinytorch.quantization import (
    Half,
    QuantizationError,
    as_bfloat16,
    dequantize,
    dequantize_rows,
    from_bfloat16,
    quantize,
)
from tinytorch.tensor import Tensor, manual_seed, randn
from tinytorch.transformer import GPT

with np.errstate(invalid="ignore"):  # NaN of any kind
    BFLOAT16 = from_bfloat16(np.arange(2**16, dtype=np.uint16)).astype(np.float64)
FINITE = np.sort(BFLOAT16[np.isfinite(BFLOAT16)])


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_bfloat16_is_the_nearest_one(x: float) -> None:
    code = as_bfloat16(np.array([x], np.float32))
    found = float(from_bfloat16(code)[0])
    if np.isinf(found):
        assert abs(x) > FINITE[-1]
        return
    distance = np.abs(FINITE - x).min()
    assert abs(found - x) == distance
    if (np.abs(FINITE - x) == distance).sum() > 1 and found != 0:
        assert code[0] % 2 == 0  # of two that are as near, the even one


def test_every_bfloat16_is_kept() -> None:
    codes = np.arange(2**16, dtype=np.uint16)
    kept = codes[~np.isnan(BFLOAT16)]
    assert np.array_equal(as_bfloat16(from_bfloat16(kept)), kept)
    assert np.isnan(from_bfloat16(as_bfloat16(np.array([np.nan, -np.nan], np.float32)))).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_model_computes_with_the_rounded_weights(dtype: str) -> None:
    manual_seed(0)
    model = GPT(vocab_size=20, embed_dim=16, num_layers=2, num_heads=2, max_seq_len=32).eval()
    exact, before = model([[1, 2, 3]]).data, model.nbytes
    rounded = {name: each.weight.data for name, each in model.named_modules() if isinstance(each, Linear)}
    quantize(model, dtype)
    found = model([[1, 2, 3]])
    assert found.dtype == np.float32
    assert 0 < np.abs(found.data - exact).max() < (0.002 if dtype == "float16" else 0.02) * np.abs(exact).max()
    assert model.nbytes < 0.6 * before
    function = lower(model)
    assert function is not None and function([[1, 2, 3]]).tobytes() == found.data.tobytes()
    np.testing.assert_allclose(dequantize(model)([[1, 2, 3]]).data, found.data, rtol=1e-4, atol=1e-6)
    for name, weight in rounded.items():
        expected = weight.astype(np.float16) if dtype == "float16" else from_bfloat16(as_bfloat16(weight))
        assert np.array_equal(model.get_parameter(f"{name}.weight").data, expected.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_state_keeps_its_dtype_and_layers_say_it(dtype: str) -> None:
    model = quantize(Sequential(Embedding(6, 4), Linear(4, 4)), dtype)
    assert [str(each) for each in (model[0], model[1])] == [
        f"QuantizedEmbedding(6, 4, {dtype})",
        f"QuantizedLinear(4, 4, {dtype})  4 parameters",
    ]
    assert model.state_dict()["1.weight"].dtype == (np.float16 if dtype == "float16" else np.uint16)
    assert "1.scale" not in model.state_dict()
    assert model([0, 5]).dtype == np.float32
    x = randn(3, 4)
    x.requires_grad = True
    model[1](x).sum().backward()
    np.testing.assert_allclose(x.grad.data, np.tile(model[1].numbers().sum(0), (3, 1)), rtol=1e-5)


def test_converting_a_model_to_another_dtype_keeps_its_numbers() -> None:
    model = quantize(Linear(4, 4), "float16")
    numbers = model.numbers()
    model.astype("float64")
    assert model(Tensor(np.eye(4), "float64")).dtype == np.float64
    np.testing.assert_allclose(model(Tensor(np.eye(4), "float64")).data - model.bias.data, numbers.T, rtol=1e-12)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(QuantizationError, match=r"70000.0 is infinite or NaN as a float16"):
        Half("float16").quantize(np.array([[70000.0]], np.float32))
    with pytest.raises(QuantizationError, match="nan is infinite or NaN as a bfloat16"):
        Half("bfloat16").quantize(np.array([[np.nan]], np.float32))
    with pytest.raises(QuantizationError, match="infinite"):
        Half("bfloat16").quantize(np.array([[np.finfo(np.float32).max]], np.float32))
    for options in ({"group_size": 2}, {"symmetric": False}, {"activations": "dynamic"}):
        with pytest.raises(QuantizationError):
            quantize(Linear(4, 4), "float16", **options)
    with pytest.raises(QuantizationError, match="'float8'"):
        quantize(Linear(4, 4), "float8")


def test_float64_beyond_float32_is_refused() -> None:
    with pytest.raises(QuantizationError, match="infinite or NaN as a bfloat16"):
        Half("bfloat16").quantize(np.array([[1.0, 1e300]]))


def test_half_of_an_odd_row_is_no_matter() -> None:
    rows = np.ones((2, 3), np.float64)
    assert dequantize_rows(*Half("bfloat16").quantize(rows)).dtype == np.float32
