"""Values and gradients of every layer and loss equal PyTorch's (made by tests-integration/golden/make_layers.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch.layers as nn
from tinytorch.autograd import grad
from tinytorch.layers import Module
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor

with np.load(Path(__file__).parent / "golden" / "layers.npz") as archive:
    GOLDEN = dict(archive)
TARGETS, SOME, ROW = GOLDEN["targets"], GOLDEN["some"], GOLDEN["row"]
WEIGHTS = GOLDEN["class_weights"]


CASES: dict[str, Callable[..., Tensor]] = {
    "linear": F.linear,
    "linear_without_bias": F.linear,
    "embedding": lambda weight: F.embedding(weight, ROW),
    "embedding_with_padding": lambda weight: F.embedding(weight, ROW, padding_idx=3),
    "layer_norm": F.layer_norm,
    "layer_norm_without_bias": lambda x, weight: F.layer_norm(x, weight, eps=0.1),
    "rms_norm": F.rms_norm,
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "gelu_tanh": nn.GELU(),
    "gelu_exact": nn.GELU("none"),
    "silu": nn.SiLU(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "softplus": F.softplus,
    "erf": F.erf,
    "softmax": nn.Softmax(),
    "softmax_of_large": nn.Softmax(),
    "softmax_of_a_middle_axis": nn.Softmax(axis=1),
    "log_softmax": nn.LogSoftmax(),
    "log_softmax_of_large": nn.LogSoftmax(),
    "log_softmax_of_a_middle_axis": nn.LogSoftmax(axis=1),
    "huber_wide": nn.HuberLoss(delta=2.5),
    "binary_cross_entropy_weighted": nn.BinaryCrossEntropyLoss(weight=WEIGHTS[:3]),
    "bce_with_logits_weighted": nn.BCEWithLogitsLoss(weight=WEIGHTS[1:4], pos_weight=WEIGHTS[2:]),
    "cross_entropy_of_large": lambda x: F.cross_entropy(x, TARGETS),
    "cross_entropy_of_probable_places": nn.CrossEntropyLoss(WEIGHTS, label_smoothing=0.1, axis=1),
    "cross_entropy_of_places": lambda x: F.cross_entropy(
        x, GOLDEN["places"], weight=WEIGHTS, label_smoothing=0.1, axis=1
    ),
}


def against(loss: Module, targets: np.ndarray) -> Callable[..., Tensor]:
    return lambda x: loss(x, targets)


for reduction in ("mean", "sum", "none"):
    CASES |= {
        f"mse_{reduction}": nn.MSELoss(reduction),
        f"l1_{reduction}": nn.L1Loss(reduction),
        f"huber_{reduction}": nn.HuberLoss(reduction),
        f"binary_cross_entropy_{reduction}": nn.BinaryCrossEntropyLoss(reduction=reduction),
        f"bce_with_logits_{reduction}": nn.BCEWithLogitsLoss(reduction=reduction),
    }
    for words, options in {
        "": {},
        "_weighted": {"weight": WEIGHTS},
        "_smoothed": {"label_smoothing": 0.2},
        "_weighted_smoothed": {"weight": WEIGHTS, "label_smoothing": 0.2},
    }.items():
        for which, targets in {"": TARGETS, "_ignoring": SOME}.items():
            loss: Any = nn.CrossEntropyLoss(reduction=reduction, **options)
            CASES[f"cross_entropy{words}{which}_{reduction}"] = against(loss, targets)
            CASES[f"cross_entropy_of_probabilities{words}_{reduction}"] = loss
            if "label_smoothing" not in options:
                loss = nn.NLLLoss(reduction=reduction, **options)
                CASES[f"nll{words}{which}_{reduction}"] = against(loss, targets)

NAMES = sorted({key.split("/")[0] for key in GOLDEN if "/" in key})


def test_every_golden_case_is_compared() -> None:
    assert sorted(CASES) == NAMES


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("name", NAMES)
def test_equals_pytorch(name: str, dtype: str, tolerance: float) -> None:
    found = {key.removeprefix(name + "/"): value for key, value in GOLDEN.items() if key.startswith(name + "/")}
    inputs = {
        key.removeprefix("in/"): Tensor(value, dtype, requires_grad=True)
        for key, value in found.items()
        if key.startswith("in/")
    }
    function = CASES[name]
    if isinstance(function, Module):
        function.astype(dtype)
    out = function(*inputs.values())
    assert out.dtype == dtype
    np.testing.assert_allclose(out.data, found["out"], rtol=tolerance, atol=tolerance)
    gradients = grad(out, list(inputs.values()), Tensor(found["direction"], dtype))
    for key, gradient in zip(inputs, gradients, strict=True):
        assert gradient.dtype == dtype
        np.testing.assert_allclose(gradient.data, found[f"d/{key}"], rtol=tolerance, atol=tolerance, err_msg=key)
