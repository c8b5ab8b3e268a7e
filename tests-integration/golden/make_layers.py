"""PyTorch's layers and losses, values and gradients in float64: packages/tinytorch-layers/tests/golden/layers.npz.

Inputs are float32 numbers held as float64, so that both precisions start from the same. Matrices of Linear are stored
the way this project holds them, (in_features, out_features).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

OUT = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-layers" / "tests" / "golden"

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32).astype(np.float64)


def uniform(*shape: int) -> np.ndarray:
    return rng.uniform(0.02, 0.98, shape).astype(np.float32).astype(np.float64)


X = {"x": normal(3, 4, 5)}
WIDE = {"x": np.concatenate([np.linspace(-9, 9, 37), [0.0, -30.0, 30.0]])}
LARGE = {"x": 100 * normal(3, 5)}
LOGITS = {"x": normal(6, 5)}
IMAGE = {"x": normal(2, 5, 3, 4)}
PAIR = {"x": normal(4, 3), "target": normal(4, 3)}
SHARES = {"x": uniform(4, 3), "target": uniform(4, 3)}
SCORES = {"x": 5 * normal(4, 3), "target": uniform(4, 3)}
TARGETS = torch.tensor([1, 0, 4, 2, 4, 3])
SOME = torch.tensor([1, -100, 4, 2, -100, 3])
PLACES = torch.tensor(rng.integers(0, 5, (2, 3, 4)))
CLASS_WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0], dtype=torch.float64)
SOFT = {"x": normal(6, 5), "target": uniform(6, 5)}
SOFT_PLACES = {"x": normal(2, 5, 3), "target": uniform(2, 5, 3)}
ROW = torch.tensor([[1, 3, 3], [0, 3, 6]])

Case = tuple[dict[str, np.ndarray], Callable[..., Any]]

CASES: dict[str, Case] = {
    "linear": ({**X, "weight": normal(5, 2), "bias": normal(2)}, lambda x, weight, bias: F.linear(x, weight.T, bias)),
    "linear_without_bias": ({**X, "weight": normal(5, 2)}, lambda x, weight: F.linear(x, weight.T)),
    "embedding": ({"weight": normal(7, 3)}, lambda weight: F.embedding(ROW, weight)),
    "embedding_with_padding": ({"weight": normal(7, 3)}, lambda weight: F.embedding(ROW, weight, padding_idx=3)),
    "layer_norm": (
        {**X, "weight": normal(5), "bias": normal(5)},
        lambda x, weight, bias: F.layer_norm(x, (5,), weight, bias, 1e-5),
    ),
    "layer_norm_without_bias": (
        {**X, "weight": normal(5)},
        lambda x, weight: F.layer_norm(x, (5,), weight, None, 0.1),
    ),
    "rms_norm": ({**X, "weight": normal(5)}, lambda x, weight: F.rms_norm(x, (5,), weight, 1e-5)),
    "relu": (X, F.relu),
    "leaky_relu": (X, lambda x: F.leaky_relu(x, 0.2)),
    "gelu_tanh": (WIDE, lambda x: F.gelu(x, approximate="tanh")),
    "gelu_exact": (WIDE, F.gelu),
    "silu": (WIDE, F.silu),
    "sigmoid": (WIDE, torch.sigmoid),
    "tanh": (WIDE, torch.tanh),
    "softplus": (WIDE, F.softplus),
    "erf": ({"x": np.linspace(-5, 5, 41).astype(np.float32).astype(np.float64)}, torch.erf),
    "softmax": (X, lambda x: F.softmax(x, -1)),
    "softmax_of_large": (LARGE, lambda x: F.softmax(x, -1)),
    "softmax_of_a_middle_axis": (X, lambda x: F.softmax(x, 1)),
    "log_softmax": (X, lambda x: F.log_softmax(x, -1)),
    "log_softmax_of_large": (LARGE, lambda x: F.log_softmax(x, -1)),
    "log_softmax_of_a_middle_axis": (X, lambda x: F.log_softmax(x, 1)),
    "huber_wide": (PAIR, lambda x, target: F.huber_loss(x, target, delta=2.5)),
    "binary_cross_entropy_weighted": (
        SHARES,
        lambda x, target: F.binary_cross_entropy(x, target, weight=CLASS_WEIGHTS[:3]),
    ),
    "bce_with_logits_weighted": (
        SCORES,
        lambda x, target: F.binary_cross_entropy_with_logits(
            x, target, weight=CLASS_WEIGHTS[1:4], pos_weight=CLASS_WEIGHTS[2:]
        ),
    ),
    "cross_entropy_of_large": ({"x": 100 * normal(6, 5)}, lambda x: F.cross_entropy(x, TARGETS)),
    "cross_entropy_of_probable_places": (
        SOFT_PLACES,
        lambda x, target: F.cross_entropy(x, target, weight=CLASS_WEIGHTS, label_smoothing=0.1),
    ),
    "cross_entropy_of_places": (IMAGE, lambda x: F.cross_entropy(x, PLACES, weight=CLASS_WEIGHTS, label_smoothing=0.1)),
}
for reduction in ("mean", "sum", "none"):
    how = {"reduction": reduction}
    CASES |= {
        f"mse_{reduction}": (PAIR, lambda x, target, how=how: F.mse_loss(x, target, **how)),
        f"l1_{reduction}": (PAIR, lambda x, target, how=how: F.l1_loss(x, target, **how)),
        f"huber_{reduction}": (PAIR, lambda x, target, how=how: F.huber_loss(x, target, **how)),
        f"binary_cross_entropy_{reduction}": (
            SHARES,
            lambda x, target, how=how: F.binary_cross_entropy(x, target, **how),
        ),
        f"bce_with_logits_{reduction}": (
            SCORES,
            lambda x, target, how=how: F.binary_cross_entropy_with_logits(x, target, **how),
        ),
    }
    for words, options in {
        "": {},
        "_weighted": {"weight": CLASS_WEIGHTS},
        "_smoothed": {"label_smoothing": 0.2},
        "_weighted_smoothed": {"weight": CLASS_WEIGHTS, "label_smoothing": 0.2},
    }.items():
        for which, targets in {"": TARGETS, "_ignoring": SOME}.items():
            every = {**how, **options}
            if not which:
                CASES[f"cross_entropy_of_probabilities{words}_{reduction}"] = (
                    SOFT,
                    lambda x, target, every=every: F.cross_entropy(x, target, **every),
                )
            CASES[f"cross_entropy{words}{which}_{reduction}"] = (
                LOGITS,
                lambda x, targets=targets, every=every: F.cross_entropy(x, targets, **every),
            )
            if "label_smoothing" not in options:
                CASES[f"nll{words}{which}_{reduction}"] = (
                    LOGITS,
                    lambda x, targets=targets, every=every: F.nll_loss(x, targets, **every),
                )


def main() -> None:
    found: dict[str, np.ndarray] = {}
    for name, (inputs, function) in CASES.items():
        tensors = {key: torch.tensor(value, requires_grad=True) for key, value in inputs.items()}
        out = function(*tensors.values())
        direction = torch.tensor(normal(*out.shape))
        gradients = torch.autograd.grad(out, list(tensors.values()), direction, allow_unused=True)
        found[f"{name}/out"] = out.detach().numpy()
        found[f"{name}/direction"] = direction.numpy()
        for (key, value), gradient in zip(inputs.items(), gradients, strict=True):
            found[f"{name}/in/{key}"] = value
            found[f"{name}/d/{key}"] = gradient.numpy()
    found["row"], found["places"], found["class_weights"] = ROW.numpy(), PLACES.numpy(), CLASS_WEIGHTS.numpy()
    found["targets"], found["some"] = TARGETS.numpy(), SOME.numpy()
    OUT.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT / "layers.npz", **found)


if __name__ == "__main__":
    main()
