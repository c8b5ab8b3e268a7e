"""float16 holds results; what leads to them is computed in float32."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch.layers as nn
from tinytorch.autograd import grad
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor

WIDE = np.linspace(-3, 3, 2**17).reshape(1, -1)  # the sum of its squares is more than float16 can hold
FAR = np.array([[-6e4, -1e4, -300.0, -100.0, -12.0, -1.0], [0.0, 1.0, 12.0, 100.0, 300.0, 6e4]])

FUNCTIONS: dict[str, Callable[[Any], Tensor]] = {
    "gelu": F.gelu,
    "exact gelu": lambda x: F.gelu(x, approximate="none"),
    "silu": F.silu,
    "sigmoid": F.sigmoid,
    "erf": F.erf,
    "softmax": lambda x: F.softmax(x) * 100,
    "log softmax": F.log_softmax,
    "layer norm": F.layer_norm,
    "rms norm": F.rms_norm,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("values", [FAR, WIDE, FAR[:, 2:] + 1000.0], ids=["far", "wide", "shifted"])
def test_values_and_gradients_are_those_of_float64_rounded(name: str, values: np.ndarray) -> None:
    half = Tensor(values, "float16", requires_grad=True)
    whole = Tensor(half.data.astype(np.float64), "float64", requires_grad=True)
    direction = np.cos(np.arange(values.size)).reshape(values.shape)
    results = []
    for x in (half, whole):
        out = FUNCTIONS[name](x)
        assert out.dtype == x.dtype
        results.append((out.data, grad(out, x, Tensor(direction, x.dtype)).data))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.astype(np.float64), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("kind", ["classes", "probabilities", "log-probabilities"])
@pytest.mark.parametrize("shape", [(1, 2**17), (2**13, 3)], ids=["many classes", "many rows"])
def test_the_mean_cross_entropy_of_float16_fits_it(shape: tuple[int, int], kind: str) -> None:
    logits = np.linspace(-30, 30, shape[0] * shape[1]).reshape(shape)[:, ::-1].astype(np.float16)
    last = np.full(shape[0], shape[1] - 1)
    certain = np.zeros(shape, np.float16)
    certain[:, -1] = 1
    losses, slopes = [], []
    for dtype in ("float16", "float64"):
        x = Tensor(logits, dtype, requires_grad=True)
        scores = F.log_softmax(x) if kind == "log-probabilities" else x
        loss = (F.nll_loss if kind == "log-probabilities" else F.cross_entropy)(
            scores, certain if kind == "probabilities" else last
        )
        loss.backward()
        assert x.grad is not None
        assert (loss.dtype, x.grad.dtype) == (np.dtype(dtype),) * 2
        losses.append(loss.item())
        slopes.append(x.grad.data.astype(np.float64))
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
    np.testing.assert_allclose(*slopes, rtol=5e-3, atol=1e-6)


def test_a_model_of_float16_learns_its_norm() -> None:
    norm = nn.LayerNorm(4, dtype="float16")
    x = Tensor(np.full((3000, 4), [300.0, 100.0, -200.0, 0.0]), "float16")
    norm(x).sum().backward()
    assert norm.weight is not None
    assert norm.bias is not None
    assert norm.bias.grad is not None
    assert norm.bias.grad.tolist() == [3000] * 4
    assert norm.bias.grad.dtype == np.float16
    np.testing.assert_allclose(norm(x)[0].data, (np.array([5, 1, -5, -1]) - 0.0) / np.sqrt(13), rtol=2e-3)


def test_a_sigmoid_keeps_its_digits_where_it_is_nearly_zero() -> None:
    x = np.array([-100.0, -40.0, -20.0, 0.0, 20.0, 1000.0, -1000.0])
    for dtype, tolerance in (("float64", 1e-14), ("float32", 1e-6)):
        expected = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
        smallest = np.finfo(dtype).tiny
        np.testing.assert_allclose(F.sigmoid(Tensor(x, dtype)).data, expected, rtol=tolerance, atol=smallest)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_silu_keeps_its_digits_where_it_is_nearly_zero(dtype: str) -> None:
    values = np.array([-80.0, -20.0, -8.0, -1e-3])
    x = Tensor(values, dtype, requires_grad=True)
    out = F.silu(x)
    out.sum().backward()
    sigmoid = 1 / (1 + np.exp(-x.data.astype(np.float64)))
    np.testing.assert_allclose(out.data, values * sigmoid, rtol=4 * np.finfo(dtype).eps)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.data, sigmoid * (1 + values * (1 - sigmoid)), rtol=1e-5)


def test_a_wrong_and_certain_sigmoid_learns() -> None:
    x = Tensor([-20.0], requires_grad=True)
    loss = F.binary_cross_entropy(F.sigmoid(x), [1.0])
    loss.backward()
    assert loss.item() == pytest.approx(20.0)
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(-1.0)
    two = F.binary_cross_entropy_with_logits(x, [1.0])
    assert two.item() == pytest.approx(loss.item())


def test_a_converted_model_stays_of_float16_beside_integers() -> None:
    script = (  # in a process that has met no other float16
        "import numpy as np; from tinytorch.layers import Linear; from tinytorch.tensor import Tensor; "
        "print((Linear(2, 2).astype('float16').weight * Tensor(np.array([1, 2], 'int16'))).dtype)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "float16"


def test_erf_of_a_number() -> None:
    assert F.erf(Tensor(1.0)).item() == pytest.approx(0.8427008)
    assert F.erf(1.0).shape == ()
