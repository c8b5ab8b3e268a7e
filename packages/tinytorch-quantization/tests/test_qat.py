"""What trains with rounding computes what its quantized form will compute."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.autograd import no_grad
from tinytorch.layers import Embedding, Linear, Module, ReLU, Sequential, lower
from tinytorch.layers import functional as F
from tinytorch.quantization import (
    QuantizationError,
    Scheme,
    convert,
    dequantize_rows,
    fake_quantize,
    fake_rows,
    prepare_qat,
    quantize,
)
from tinytorch.spatial import Conv2d
from tinytorch.tensor import Tensor, manual_seed
from tinytorch.transformer import GPT

RNG = np.random.default_rng(0)


@given(st.integers(2, 8), st.booleans(), st.sampled_from([None, 2, 4]), st.sampled_from(["float32", "float64"]))
def test_rows_are_rounded_as_they_will_be(bits: int, symmetric: bool, group_size: int | None, dtype: str) -> None:
    scheme, rows = Scheme(bits, group_size, symmetric), RNG.normal(size=(3, 8)).astype(dtype)
    found = fake_rows(Tensor(rows, dtype), scheme)
    assert found.dtype == dtype
    assert np.array_equal(found.data, dequantize_rows(*scheme.quantize(rows)))


def test_gradient_passes_where_codes_reach_and_nowhere_else() -> None:
    x = Tensor(np.array([-0.75, -0.74, -0.3, 0.0, 0.31, 0.74, 0.76, 5.0]), "float64", requires_grad=True)
    out = fake_quantize(x, np.array(0.1), low=-7, high=7)
    np.testing.assert_allclose(out.data, [-0.7, -0.7, -0.3, 0.0, 0.3, 0.7, 0.7, 0.7])
    out.backward(np.arange(1.0, 9.0))
    assert x.grad.data.tolist() == [0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0]
    x.grad = None
    fake_quantize(x, np.array(0.1), np.array(5), low=-7, high=7).backward(np.ones(8))
    assert x.grad.data.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def gpt(**options: Any) -> GPT:
    manual_seed(0)
    return GPT(vocab_size=20, embed_dim=16, num_layers=1, num_heads=2, max_seq_len=32, **options)


def network() -> Module:
    manual_seed(0)
    return Sequential(Conv2d(2, 4, (3, 2), padding=1), ReLU(), Conv2d(4, 4, 2, groups=2), Flat(), Linear(96, 5))


class Flat(Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1)


IMAGES = RNG.normal(size=(8, 2, 5, 6)).astype(np.float32)
MODELS: dict[str, tuple[Callable[[], Module], Any]] = {
    "gpt": (gpt, np.array([[1, 2, 3, 4]])),
    "untied": (lambda: gpt(tied=False), np.array([[1, 2, 3, 4]])),
    "network": (network, IMAGES),
}


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("activations", [None, "dynamic", "static"])
@pytest.mark.parametrize("name", MODELS)
def test_converted_model_computes_what_it_was_trained_to(name: str, activations: str | None, bits: int) -> None:
    make, x = MODELS[name]
    model = make()
    names = model.state_dict().keys()
    parameters = [id(parameter) for parameter in model.parameters()]
    assert prepare_qat(model, bits, activations=activations) is model
    assert [id(parameter) for parameter in model.parameters()] == parameters
    assert names <= model.state_dict().keys()
    assert lower(model) is None
    for _ in range(3):
        loss = (model(x) ** 2).mean()
        loss.backward()
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.data -= 0.05 * parameter.grad.data
                parameter.grad = None
    model.eval()
    expected = model(x).data
    plain = quantize_like(make, model, bits)
    convert(model)
    assert not model.training
    np.testing.assert_allclose(model(x).data, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    if activations is None:
        assert all(np.array_equal(each, model.state_dict()[key].data) for key, each in plain.items())


def quantize_like(make: Callable[[], Module], trained: Module, bits: int) -> dict[str, Any]:
    """The state of a plain model with the trained weights, quantized."""
    model = make()
    model.load_state_dict({key: value for key, value in trained.state_dict().items() if "input_" not in key})
    return {key: value.data for key, value in quantize(model, bits).state_dict().items()}


def test_training_with_rounding_beats_rounding_after_training() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(256, 8)).astype(np.float32)
    y = np.tanh(x @ rng.normal(size=(8, 1)).astype(np.float32))
    manual_seed(3)
    model = Sequential(Linear(8, 32), ReLU(), Linear(32, 1))

    def train(model: Module, steps: int) -> float:
        for _ in range(steps):
            loss = F.mse_loss(model(x), y)
            loss.backward()
            for parameter in model.parameters():
                parameter.data -= 0.1 * parameter.grad.data
                parameter.grad = None
        with no_grad():
            return float(F.mse_loss(model(x), y).item())

    floats = train(model, 400)
    after = train(quantize(copy.deepcopy(model), 3), 0)
    prepared = prepare_qat(copy.deepcopy(model), 3)
    train(prepared, 300)
    during = train(convert(prepared), 0)
    assert floats < during < 0.8 * after


def test_range_of_static_inputs_moves_only_in_training() -> None:
    model = prepare_qat(Sequential(Linear(4, 2)), activations="static")
    layer = model[0]
    x = np.array([[1.0, -2.0, 0.5, 0.0]], np.float32)
    with pytest.raises(QuantizationError, match="no inputs were seen"):
        model.eval()(x)
    with pytest.raises(QuantizationError, match="convert: 0 saw no inputs"):
        convert(model)
    assert model[0] is layer
    model.train()(x)
    assert (layer.input_low.item(), layer.input_high.item()) == (-2.0, 1.0)
    model(2 * x)
    assert layer.input_high.item() == pytest.approx(0.9 * 1 + 0.1 * 2)
    model.eval()(100 * x)
    assert layer.input_high.item() == pytest.approx(1.1)
    convert(model)
    assert model[0].input_scale.item() == pytest.approx((1.1 + 2.2) / 255)


def test_layers_of_one_weight_stay_so() -> None:
    one, other = Linear(8, 8), Linear(8, 8)
    other.weight = one.weight
    model = prepare_qat(Sequential(one, ReLU(), other), bits=4)
    assert model[0].weight is model[2].weight
    convert(model)
    assert model[0].weight is model[2].weight and model[0].scale is model[2].scale


def test_state_can_be_resumed() -> None:
    model = prepare_qat(gpt(), 4, 8, activations="static")
    model([[1, 2, 3]])
    other = prepare_qat(gpt(), 4, 8, activations="static")
    other.load_state_dict(model.state_dict())
    assert other.eval()([[1, 2]]).data.tobytes() == model.eval()([[1, 2]]).data.tobytes()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "floats": (lambda: prepare_qat(Linear(4, 4), "float16"), "it must be an integer"),
    "groups": (lambda: prepare_qat(Sequential(Linear(4, 4)), 4, 3), "prepare_qat: 0: rows of 4"),
    "twice": (lambda: prepare_qat(prepare_qat(Sequential(Linear(4, 4)))), "prepare_qat: nothing to do"),
    "quantized": (lambda: prepare_qat(quantize(Sequential(Linear(4, 4)))), "prepare_qat: nothing to do"),
    "not prepared": (lambda: convert(Linear(4, 4)), "convert: nothing to do"),
    "zero points": (lambda: prepare_qat(Linear(4, 4), symmetric=False, activations="static"), "without zero points"),
    "table": (lambda: prepare_qat(Sequential(Embedding(4, 4)), 4, 3), "rows of 4 weights in groups of 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(QuantizationError, match=message):
        make()
