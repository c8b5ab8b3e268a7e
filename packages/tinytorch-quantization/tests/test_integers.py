"""Integer inputs and weights: exact sums, scaled at the end; ranges found by observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.autograd import grad
from tinytorch.layers import Embedding, Linear, Module, ReLU, Sequential, lower
from tinytorch.quantization import (
    MinMaxObserver,
    MSEObserver,
    PercentileObserver,
    QuantizationError,
    QuantizedConv2d,
    QuantizedLinear,
    Scheme,
    calibrate,
    dequantize,
    integer_conv2d,
    integer_linear,
    prepare_qat,
    quantize,
)
from tinytorch.quantization.integers import integer_product
from tinytorch.quantization.observers import scale_of
from tinytorch.spatial import Conv2d, conv2d
from tinytorch.tensor import ShapeError, Tensor

RNG = np.random.default_rng(0)


@given(st.integers(1, 3), st.integers(1, 2000), st.integers(0, 2**32))
def test_sums_of_products_are_exact(m: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = rng.random() < 0.5  # the largest sums
    x = rng.choice([-255, 255], (2, n)) if ends else rng.integers(-255, 256, (2, n))
    y = rng.choice([-127, 127], (m, n)) if ends else rng.integers(-127, 128, (m, n))
    found = integer_product(x.astype(np.float32), y.astype(np.float32))
    assert found.dtype == np.int32
    assert np.array_equal(found, x @ y.T)


def test_sums_beyond_32_bits_are_exact_too() -> None:
    x, y = np.full((1, 70_000), 255, np.float32), np.full((1, 70_000), 127, np.float32)
    found = integer_product(x, y)
    assert found.dtype == np.int64 and found[0, 0] == 70_000 * 255 * 127 > 2**31


def by_hand(x: Any, codes: Any, scale: Any, bias: Any, input_scale: Any, zero_point: int) -> Any:
    """Sum over each group of (code of x - zero point) * code of the weight, as Python integers."""
    m, n = codes.shape
    size, out = n // scale.shape[1], np.empty((len(x), m))
    for i in range(len(x)):
        s = np.abs(x[i]).max() / 127 or 1.0 if input_scale is None else input_scale
        low = -127 if input_scale is None else -128
        q = [int(min(max(np.rint(value / s) + zero_point, low), 127)) - zero_point for value in x[i]]
        for j in range(m):
            groups = [range(start, start + size) for start in range(0, n, size)]
            sums = [sum(q[k] * int(codes[j, k]) for k in group) for group in groups]
            out[i, j] = s * sum(total * float(sc) for total, sc in zip(sums, scale[j], strict=True))
    return out + (0 if bias is None else bias)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("group_size", [None, 4])
@pytest.mark.parametrize("bits", [8, 4])
def test_integer_linear_is_the_definition(bits: int, group_size: int | None, static: bool) -> None:
    scheme = Scheme(bits, group_size)
    layer = QuantizedLinear.from_float(Linear(12, 5, dtype="float64"), scheme)
    x = RNG.normal(size=(4, 12))
    x[1] = 0
    given = (np.array(0.02), np.array(-7, np.int8)) if static else ()
    found = integer_linear(Tensor(x, "float64"), layer.weight, layer.scale, layer.bias, *given)
    codes = np.rint(layer.numbers() / np.repeat(layer.scale.data, 12 // layer.scale.shape[1], 1)).astype(int)
    expected = by_hand(x, codes, layer.scale.data, layer.bias.data, 0.02 if static else None, -7 if static else 0)
    np.testing.assert_allclose(found.data, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [2, 64])  # 18 terms, which float32 adds up exactly, and 576, which it may not
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_integer_convolution_is_that_of_the_rounded_numbers(channels: int, static: bool, groups: int) -> None:
    layer = Conv2d(channels, 4, 3, stride=2, padding=1, groups=groups, dtype="float64")
    quantized = QuantizedConv2d.from_float(layer, Scheme(8))
    x = RNG.normal(size=(3, channels, 7, 6))
    options = {"stride": 2, "padding": 1, "groups": groups}
    given = (np.array(0.02), np.array(-7, np.int8)) if static else ()
    held = (quantized.weight, quantized.scale, quantized.bias)
    found = integer_conv2d(Tensor(x, "float64"), *held, *given, kernel_size=(3, 3), **options)
    scale = 0.02 if static else np.abs(x).reshape(3, -1).max(1).reshape(3, 1, 1, 1) / 127
    low, zero = (-128, -7) if static else (-127, 0)
    rounded = scale * ((np.rint(x / scale) + zero).clip(low, 127) - zero)
    kernels = Tensor(quantized.kernels(), "float64")
    expected = conv2d(Tensor(rounded, "float64"), kernels, quantized.bias, **options)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-12, atol=1e-12)


def network() -> Module:
    return Sequential(Conv2d(1, 4, (2, 3)), ReLU(), Conv2d(4, 3, 3), Flat(), Linear(60, 10)).eval()


class Flat(Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1)


IMAGES = [RNG.normal(size=(8, 1, 8, 8)).astype(np.float32) for _ in range(3)]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("activations", ["dynamic", "static", None])
def test_network_of_convolutions_stays_close(bits: int, activations: str | None) -> None:
    model = network()
    exact, before = model(IMAGES[0]).data, model.nbytes
    quantize(model, bits, activations=activations)
    if activations == "static":
        calibrate(model, IMAGES)
    assert np.abs(model(IMAGES[0]).data - exact).max() < (0.05 if bits == 8 else 0.4) * np.abs(exact).max()
    assert model.nbytes < (0.35 if bits == 8 else 0.25) * before
    dequantize(model)
    assert [type(layer).__name__ for layer in model] == ["Conv2d", "ReLU", "Conv2d", "Flat", "Linear"]


def test_quantized_convolution_is_that_of_its_numbers() -> None:
    layer = Conv2d(4, 6, (3, 2), stride=2, padding="valid", dilation=1, groups=2, bias=False, dtype="float64")
    quantized = quantize(layer, 4, 6, symmetric=False)
    assert quantized.extra_repr() == (
        "4, 6, (3, 2), stride=2, padding='valid', groups=2, bias=False, int4, group_size=6, symmetric=False"
    )
    assert quantized.weight.shape == (6, 6) and quantized.scale.shape == (6, 2)
    x = Tensor(RNG.normal(size=(2, 4, 6, 6)), "float64", requires_grad=True)
    floats = dequantize(quantized)
    assert quantized(x).data.tobytes() == floats(x).data.tobytes()
    quantized(x).sum().backward()
    assert x.grad is not None and x.grad.data.any()


def test_lowered_layers_are_the_layers() -> None:
    x = RNG.normal(size=(2, 3, 8)).astype(np.float32)
    for biased in (True, False):
        layer = quantize(Linear(8, 4, bias=biased), activations="dynamic")
        function = lower(layer)
        assert function is not None and function(x).tobytes() == layer(x).data.tobytes()
        layer = calibrate(quantize(Linear(8, 4, bias=biased), activations="static"), [x])
        function = lower(layer)
        assert function is not None and function(x).tobytes() == layer(x).data.tobytes()


@pytest.mark.parametrize("observer", ["minmax", "percentile", "mse", MinMaxObserver, lambda: PercentileObserver(90)])
def test_calibration_sets_scales_and_nothing_else(observer: Any) -> None:
    model = quantize(Sequential(Linear(8, 8), ReLU(), Linear(8, 4)), activations="static")
    model[2].eval()
    batches = [RNG.normal(size=(64, 8)).astype(np.float32) for _ in range(3)]
    assert calibrate(model, batches, observer) is model
    assert [layer.training for layer in model] == [True, True, False] and model.training
    assert model[2].input_zero_point.item() == -128  # nothing below 0 comes out of a ReLU
    assert all(layer._hooks is None for layer in model.modules())
    state = model.state_dict()
    assert {"0.input_scale", "0.input_zero_point"} <= state.keys()
    other = quantize(Sequential(Linear(8, 8), ReLU(), Linear(8, 4)), activations="static")
    other.load_state_dict(state)
    assert other(batches[0]).data.tobytes() == model(batches[0]).data.tobytes()


def test_wider_data_can_be_calibrated_again() -> None:
    model = quantize(Linear(4, 4), activations="static")
    x = np.ones((2, 4), np.float32)
    first = calibrate(model, [x]).input_scale.item()
    assert calibrate(model, [10 * x]).input_scale.item() == pytest.approx(10 * first)
    model.eval()
    assert calibrate(model, [(x,)]).input_scale.item() == pytest.approx(first)  # a tuple is several arguments


def test_observers_find_the_range() -> None:
    numbers = RNG.normal(size=100_000)
    exact = np.quantile(numbers, [0.0005, 0.9995])
    for parts in (numbers[None], numbers.reshape(10, -1)):
        extremes, percentile, least = MinMaxObserver(), PercentileObserver(99.9), MSEObserver()
        for part in parts:
            for observer in (extremes, percentile, least):
                observer.observe(part)
        assert extremes.range == (numbers.min(), numbers.max())
        assert np.allclose(percentile.range, exact, atol=0.02)
        errors = {ends: error(numbers, ends) for ends in (extremes.range, percentile.range, least.range)}
        assert min(errors, key=errors.__getitem__) == least.range


def error(numbers: Any, ends: tuple[float, float]) -> float:
    scale, zero = scale_of(*ends)
    return float(((scale * ((np.rint(numbers / scale) + zero).clip(-128, 127) - zero) - numbers) ** 2).mean())


def test_outliers_do_not_spoil_what_minimizes_the_error() -> None:
    numbers = np.append(RNG.normal(size=1_000_000), [200.0])
    least = MSEObserver()
    least.observe(numbers)
    assert error(numbers, least.range) < 0.7 * error(numbers, (numbers.min(), 200.0))


@pytest.mark.parametrize("make", [MinMaxObserver, PercentileObserver, MSEObserver])
def test_observers_of_zeros_and_of_nothing(make: Callable[[], Any]) -> None:
    observer = make()
    with pytest.raises(QuantizationError, match="seen no numbers"):
        observer.range  # noqa: B018
    observer.observe(np.zeros(3))
    assert observer.range == (0.0, 0.0) and scale_of(*observer.range) == (1.0, 0)
    observer.observe(np.array([], np.float32))
    observer.observe([4.0])
    low, high = observer.range
    assert low <= 0 and high == pytest.approx(4.0, rel=0.02)
    with pytest.raises(QuantizationError, match="infinity or NaN"):
        observer.observe([np.nan])


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_zero_is_represented_exactly(a: float, b: float) -> None:
    scale, zero = scale_of(min(a, b), max(a, b))
    assert -128 <= zero <= 127 and scale > 0


PAIR: Callable[[], Any] = lambda: quantize(Sequential(Linear(4, 4), Linear(4, 4)), activations="static")  # noqa: E731


def replaced() -> Any:
    model = PAIR()
    model.forward = lambda x: x
    return model


class OneOfTwo(Module):
    def __init__(self) -> None:
        self.used, self.unused = Linear(4, 4), Linear(4, 4)

    def forward(self, x: Any) -> Tensor:
        return self.used(x)


X = np.ones((1, 4), np.float32)
REFUSED: dict[str, tuple[Callable[[], Any], tuple[Any, ...], str]] = {
    "no data": (PAIR, ([],), "there are no batches"),
    "no static layers": (lambda: Linear(4, 4), ([X],), "no layer has static activations"),
    "dynamic": (lambda: quantize(Linear(4, 4), activations="dynamic"), ([X],), "no layer has static"),
    "observer": (PAIR, ([X], "mean"), "it must be 'minmax'"),
    "infinite": (PAIR, ([X * np.inf],), "infinity or NaN"),
    "another forward": (replaced, ([X],), "forward of its own"),
    "unreached": (lambda: quantize(OneOfTwo(), activations="static"), ([X],), "no batch reached unused"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_calibration_refuses_and_changes_nothing(case: str) -> None:
    make, arguments, message = REFUSED[case]
    model = make()
    before = {name: each.data.tobytes() for name, each in model.named_buffers()}
    with pytest.raises(QuantizationError, match=message):
        calibrate(model, *arguments)
    assert before == {name: each.data.tobytes() for name, each in model.named_buffers()}
    assert all(module._hooks is None for module in model.modules())


def test_computing_without_calibration_is_refused() -> None:
    with pytest.raises(QuantizationError, match="calibrate"):
        PAIR()(X)
    with pytest.raises(QuantizationError, match="infinity or NaN"):
        quantize(Linear(4, 4), activations="dynamic")(X * np.nan)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("kind", [Linear, Conv2d])
def test_gradients_are_those_of_inputs_that_are_not_rounded(kind: Any, static: bool) -> None:
    layer = Linear(6, 4, dtype="float64") if kind is Linear else Conv2d(2, 4, 3, padding=1, groups=2, dtype="float64")
    x = RNG.normal(size=(3, 5, 6) if kind is Linear else (2, 2, 5, 4))
    quantized = quantize(layer, activations="static" if static else "dynamic")
    if static:
        calibrate(quantized, [np.clip(x, -1, 1)])  # what lies beyond is cut, and has no gradient
    floats = QuantizedLinear.to_float(quantized) if kind is Linear else QuantizedConv2d.to_float(quantized)
    found, expected = (Tensor(x, "float64", requires_grad=True) for _ in range(2))
    weights = RNG.normal(size=quantized(x).shape)
    (quantized(found) * weights).sum().backward()
    bias = quantized.bias.grad.data.copy()
    quantized.bias.grad = None
    (floats(expected) * weights).sum().backward()
    np.testing.assert_allclose(bias, floats.bias.grad.data)
    inside = np.abs(x) < 1 if static else np.ones(x.shape, bool)
    np.testing.assert_allclose(found.grad.data[inside], expected.grad.data[inside], rtol=1e-10)
    assert not found.grad.data[np.abs(x) > (1.01 if static else np.inf)].any()
    probe = Tensor(x, "float64", requires_grad=True)
    first = grad((quantized(probe) ** 2).sum(), probe, create_graph=True)
    assert grad((first**2).sum(), probe).data.any()  # what was recorded of the rule can be differentiated


def test_what_does_not_go_with_integer_inputs_is_refused() -> None:
    for options in ({"activations": "int8"}, {"activations": "dynamic", "symmetric": False}):
        with pytest.raises(QuantizationError):
            quantize(Linear(4, 4), 8, **options)
    with pytest.raises(QuantizationError, match="groups of weights and integer inputs"):
        quantize(Conv2d(4, 4, 1), 8, 2, activations="dynamic")
    with pytest.raises(ValueError, match="percentile is 20"):
        PercentileObserver(20)


@pytest.mark.parametrize("method", ["nearest", "gptq"])
def test_a_convolution_has_no_groups_of_weights_with_integer_inputs(method: str) -> None:
    x = RNG.standard_normal((2, 4, 5, 5)).astype(np.float32)
    model = Sequential(Conv2d(4, 6, 3))
    options: dict[str, Any] = {"method": method, "batches": [x]} if method == "gptq" else {}
    with pytest.raises(QuantizationError, match=r"^quantize: 0: groups"):
        quantize(model, bits=8, group_size=4, activations="dynamic", **options)
    assert type(model[0]) is Conv2d
    with pytest.raises(QuantizationError, match=r"^prepare_qat: 0: groups"):
        prepare_qat(model, bits=8, group_size=4, activations="dynamic")
    codes = Scheme(bits=8, group_size=4).quantize(model[0].weight.data.reshape(6, -1))
    with pytest.raises(ShapeError, match=r"it must be \(6, 1\), one number for each channel"):
        integer_conv2d(x, codes.weight, codes.scale, kernel_size=(3, 3))


@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_a_batch_of_no_images_is_one(activations: str) -> None:
    model = quantize(Sequential(Conv2d(4, 6, 3)), activations=activations)
    if activations == "static":
        calibrate(model, [np.ones((1, 4, 5, 5), np.float32)])
    assert model(np.zeros((0, 4, 5, 5), np.float32)).shape == (0, 6, 3, 3)


def test_images_have_four_axes() -> None:
    model = quantize(Conv2d(4, 6, 3), activations="dynamic")
    for shape in ((4, 5, 5), ()):
        with pytest.raises(ShapeError, match=r"it must be \(N, C, H, W\)"):
            model(np.zeros(shape, np.float32))


def test_integers_as_inputs_keep_their_magnitude() -> None:
    codes = Scheme(bits=8).quantize(np.eye(4, dtype=np.float32))
    x = np.array([[-128, 0, 3, 127]], np.int8)
    found = integer_linear(x, codes.weight, codes.scale).data
    np.testing.assert_allclose(found, integer_linear(x.astype(np.float32), codes.weight, codes.scale).data)
    np.testing.assert_allclose(found, x, atol=0.51 * 128 / 127)


def test_numbers_below_the_least_scale_count_as_zero() -> None:
    x = np.full((2, 4), 1e-44, np.float32)
    for activations in ("dynamic", "static"):
        model = quantize(Sequential(Linear(4, 3)), activations=activations)
        if activations == "static":
            calibrate(model, [x])
        np.testing.assert_array_equal(model(x).data, np.broadcast_to(model[0].bias.data, (2, 3)))
        np.testing.assert_array_equal(prepare_qat(Linear(4, 3), activations=activations)(x).shape, (2, 3))


def test_tables_keep_float_arithmetic() -> None:
    model = quantize(Sequential(Embedding(8, 4), Linear(4, 4)), activations="dynamic")
    assert repr(model[0]) == "QuantizedEmbedding(8, 4, int8)"
    assert model[1].extra_repr() == "4, 4, int8, activations='dynamic'"
