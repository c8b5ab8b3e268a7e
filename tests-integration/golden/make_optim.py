"""PyTorch's optimizers and schedules, step for step in float64: writes packages/tinytorch-optim/tests/golden/*.npz."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

OUT = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-optim" / "tests" / "golden"
STEPS = 100

OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.05}),
    "sgd_momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd_nesterov": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {"lr": 0.05}),
    "adam_decay": (torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "adam_amsgrad": (torch.optim.Adam, {"lr": 0.05, "amsgrad": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.2}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.02}),
    "rmsprop_all": (
        torch.optim.RMSprop,
        {"lr": 0.02, "alpha": 0.9, "momentum": 0.8, "centered": True, "weight_decay": 0.1, "eps": 1e-4},
    ),
    "muon": (torch.optim.Muon, {"lr": 0.05}),
    "muon_plain": (torch.optim.Muon, {"lr": 0.05, "nesterov": False, "weight_decay": 0.0, "momentum": 0.8}),
    "muon_rms": (torch.optim.Muon, {"lr": 0.05, "adjust_lr_fn": "match_rms_adamw"}),
}


def optimizers() -> dict[str, np.ndarray]:
    """Each optimizer follows moving targets: the gradient of a parameter is its distance to this step's target."""
    rng = np.random.default_rng(0)
    start = {"weight": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}
    targets = {name: rng.normal(size=(STEPS, *value.shape)) for name, value in start.items()}
    found = {f"start.{name}": value for name, value in start.items()}
    found |= {f"targets.{name}": value for name, value in targets.items()}
    for case, (kind, options) in OPTIMIZERS.items():
        names = ["weight"] if kind is torch.optim.Muon else list(start)
        # PyTorch keeps weights as (out, in): its Muon is given the transpose
        turn = np.transpose if kind is torch.optim.Muon else np.asarray
        params = {name: torch.tensor(turn(start[name]).copy(), requires_grad=True) for name in names}
        optimizer = kind(list(params.values()), **options)
        paths: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for step in range(STEPS):
            for name, p in params.items():
                p.grad = p.detach() - torch.tensor(turn(targets[name][step]).copy())
            optimizer.step()
            for name, p in params.items():
                paths[name].append(turn(p.detach().numpy()).copy())
        found |= {f"{case}.{name}": np.stack(path) for name, path in paths.items()}
    return found


def schedules() -> dict[str, np.ndarray]:
    lr = torch.optim.lr_scheduler
    makers: dict[str, Any] = {
        "step": lambda o: lr.StepLR(o, step_size=7, gamma=0.5),
        "cosine": lambda o: lr.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.01),
        "warmup_cosine": lambda o: lr.SequentialLR(
            o,
            [lr.LinearLR(o, start_factor=0.1, total_iters=20), lr.CosineAnnealingLR(o, T_max=80)],
            milestones=[20],
        ),
        "one_cycle": lambda o: lr.OneCycleLR(o, max_lr=2.0, total_steps=STEPS),
    }
    found: dict[str, np.ndarray] = {}
    for name, make in makers.items():
        optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.5)
        schedule = make(optimizer)
        rates, momenta = [], []
        for _ in range(STEPS):
            rates.append(optimizer.param_groups[0]["lr"])
            momenta.append(optimizer.param_groups[0]["betas"][0])
            optimizer.step()
            if len(rates) < STEPS:
                schedule.step()
        found[f"{name}.lr"], found[f"{name}.momentum"] = np.array(rates), np.array(momenta)
    return found


def clipping() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    gradients = [rng.normal(size=(3, 4)), rng.normal(size=5)]
    found = {f"gradient.{place}": g for place, g in enumerate(gradients)}
    for order in (1.0, 2.0, 3.0, float("inf")):
        params = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
        for p, g in zip(params, gradients, strict=True):
            p.grad = torch.tensor(g)
        norm = torch.nn.utils.clip_grad_norm_(params, 0.7, norm_type=order)
        found[f"{order}.norm"] = norm.numpy()
        found |= {f"{order}.{place}": p.grad.numpy() for place, p in enumerate(params) if p.grad is not None}
    return found


def main() -> None:
    # Muon iterates on a copy in bfloat16; here the formula is compared
    torch.Tensor.bfloat16 = lambda self: self.double().clone()
    warnings.simplefilter("ignore")  # SequentialLR calls its parts in an order that PyTorch itself warns of
    OUT.mkdir(parents=True, exist_ok=True)
    for name, make in (("optimizers", optimizers), ("schedules", schedules), ("clipping", clipping)):
        np.savez_compressed(OUT / f"{name}.npz", **make())


if __name__ == "__main__":
    main()
