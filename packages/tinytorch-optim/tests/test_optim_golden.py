"""Equal to PyTorch, step for step; the files were made by tests-integration/golden/make_optim.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.layers import Parameter
from tinytorch.optim import (
    SGD,
    Adam,
    AdamW,
    CosineSchedule,
    Lion,
    Muon,
    OneCycleSchedule,
    Optimizer,
    RMSprop,
    Schedule,
    StepSchedule,
    WarmupSchedule,
    clip_grad_norm,
)
from tinytorch.tensor import Tensor

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as found:
        return dict(found)


PATHS = golden("optimizers")
RATES = golden("schedules")

OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "sgd": (SGD, {"lr": 0.05}),
    "sgd_momentum": (SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd_nesterov": (SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": (Adam, {"lr": 0.05}),
    "adam_decay": (Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "adam_amsgrad": (Adam, {"lr": 0.05, "amsgrad": True}),
    "adamw": (AdamW, {"lr": 0.05, "weight_decay": 0.2}),
    "rmsprop": (RMSprop, {"lr": 0.02}),
    "rmsprop_all": (
        RMSprop,
        {"lr": 0.02, "alpha": 0.9, "momentum": 0.8, "centered": True, "weight_decay": 0.1, "eps": 1e-4},
    ),
    "muon": (Muon, {"lr": 0.05}),
    "muon_plain": (Muon, {"lr": 0.05, "nesterov": False, "weight_decay": 0.0, "momentum": 0.8}),
    "muon_rms": (Muon, {"lr": 0.05, "adjust": "match_rms_adamw"}),
}


def follow(kind: type[Optimizer], options: dict[str, Any], names: list[str]) -> dict[str, np.ndarray]:
    """The parameters after each step, when the gradient of each is its distance to the step's target."""
    params = {name: Parameter(PATHS[f"start.{name}"].copy(), dtype=np.float64) for name in names}
    optimizer = kind(params.items(), **options)
    paths: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for step in range(100):
        for name, p in params.items():
            p.grad = Tensor(p.data - PATHS[f"targets.{name}"][step], dtype=np.float64)
        optimizer.step()
        for name, p in params.items():
            paths[name].append(p.data.copy())
    return {name: np.stack(path) for name, path in paths.items()}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_every_step_equals_pytorch(case: str) -> None:
    kind, options = OPTIMIZERS[case]
    for name, path in follow(kind, options, ["weight"] if kind is Muon else ["weight", "bias"]).items():
        np.testing.assert_allclose(path, PATHS[f"{case}.{name}"], rtol=1e-10, atol=1e-10)


DEFAULTS: dict[type[Optimizer], dict[str, Any]] = {
    SGD: {"lr": 1e-3, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "dampening": 0.0},
    Adam: {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False},
    AdamW: {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2, "amsgrad": False},
    RMSprop: {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
    Muon: {
        "lr": 1e-3, "momentum": 0.95, "nesterov": True, "weight_decay": 0.1, "adjust": "original", "ns_steps": 5,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", DEFAULTS)
def test_options_left_out_are_pytorchs(kind: Any) -> None:
    optimizer = kind([Parameter(np.eye(2))])
    assert optimizer.defaults == DEFAULTS[kind]
    assert not optimizer.check_finite


def test_lion_follows_the_formula_of_its_paper() -> None:
    path = follow(Lion, {"lr": 0.01, "weight_decay": 0.1}, ["bias"])["bias"]
    p, m = PATHS["start.bias"].copy(), np.zeros(4)
    for step, target in enumerate(PATHS["targets.bias"]):
        g = p - target
        update = np.sign(0.9 * m + 0.1 * g)
        p = p - 0.01 * (update + 0.1 * p)
        m = 0.99 * m + 0.01 * g
        np.testing.assert_allclose(path[step], p, rtol=1e-10, atol=1e-10)


def attached(name: str) -> Schedule:
    optimizer = Adam([Parameter([0.0])], lr=0.5)
    if name == "step":
        return StepSchedule(optimizer, step_size=7, gamma=0.5)
    if name == "cosine":
        return CosineSchedule(optimizer, total_steps=100, min_lr=0.01)
    if name == "one_cycle":
        return OneCycleSchedule(optimizer, max_lr=2.0, total_steps=100)
    return WarmupSchedule(optimizer, 20, start_factor=0.1, after=CosineSchedule(optimizer, total_steps=80))


@pytest.mark.parametrize("name", ["step", "cosine", "warmup_cosine", "one_cycle"])
def test_every_rate_equals_pytorch(name: str) -> None:
    schedule = attached(name)
    rates, momenta = [], []
    for _ in range(100):
        rates.append(schedule.lr)
        momenta.append(schedule.optimizer.param_groups[0]["betas"][0])
        schedule.step()
    np.testing.assert_allclose(rates, RATES[f"{name}.lr"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(momenta, RATES[f"{name}.momentum"], rtol=1e-10)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, np.inf])
def test_clipping_by_any_norm_equals_pytorch(order: float) -> None:
    found = golden("clipping")
    params = [Parameter(np.zeros_like(found[f"gradient.{place}"]), dtype=np.float64) for place in (0, 1)]
    for place, p in enumerate(params):
        p.grad = Tensor(found[f"gradient.{place}"].copy(), dtype=np.float64)
    assert clip_grad_norm(params, 0.7, norm_type=order) == pytest.approx(float(found[f"{order}.norm"]), rel=1e-12)
    for place, p in enumerate(params):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.data, found[f"{order}.{place}"], rtol=1e-10)
