"""Draws docs/images/compression.svg: accuracy on handwritten digits against the numbers that are left.

A network of 17,226 numbers is made smaller in four ways: pruned at once, pruned little by little while it is trained,
without most of its neurons, and of low rank; after the first nothing is trained, the others train for 10 more epochs.
Means of three seeds, with the range.

    python docs/images/compression.py
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure

from tinytorch.compression import GradualPruning, factorize, prune, structured_prune
from tinytorch.data import DataLoader
from tinytorch.data.datasets import digits
from tinytorch.layers import CrossEntropyLoss, Flatten, Linear, ReLU, Sequential
from tinytorch.optim import AdamW
from tinytorch.tensor import replacing
from tinytorch.training import Trainer

OUT = Path(__file__).with_name("compression.svg")
SEEDS, EPOCHS, BATCHES = 3, 10, 23


def network(seed: int) -> Sequential:
    drawn: dict[str, Any] = {"generator": np.random.default_rng(seed)}
    return Sequential(
        Flatten(), Linear(64, 128, **drawn), ReLU(), Linear(128, 64, **drawn), ReLU(), Linear(64, 10, **drawn)
    )


def train(model: Sequential, epochs: int = EPOCHS, callbacks: tuple[Any, ...] = ()) -> None:
    loader = DataLoader(digits(), 64, shuffle=True, generator=np.random.default_rng(0))
    trainer = Trainer(model, AdamW(model, lr=2e-3), CrossEntropyLoss(), callbacks=callbacks)
    trainer.fit(loader, epochs=epochs, progress=False)


def accuracy(model: Sequential) -> float:
    trainer = Trainer(model, AdamW(model), CrossEntropyLoss(), metrics=["accuracy"])
    return trainer.evaluate(DataLoader(digits("test"), 355))["accuracy"]


def left(model: Sequential) -> int:
    """The numbers that are not zero."""
    return sum(int(np.count_nonzero(parameter.data)) for parameter in model.parameters())


def at_once(model: Sequential, amount: float) -> None:
    prune(model, amount)


def gradually(model: Sequential, amount: float) -> None:
    train(model, callbacks=(GradualPruning(model, amount, end=EPOCHS * BATCHES * 3 // 4),))


def fewer_neurons(model: Sequential, amount: float) -> None:
    structured_prune(model, amount)
    train(model)


def low_rank(model: Sequential, rank: float) -> None:
    factorize(model, int(rank))
    train(model)


WAYS: dict[str, tuple[Callable[[Sequential, float], None], tuple[float, ...]]] = {
    "pruned at once": (at_once, (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)),
    "pruned while training": (gradually, (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)),
    "fewer neurons, trained": (fewer_neurons, (0.25, 0.5, 0.7, 0.8, 0.9, 0.95)),
    "low rank, trained": (low_rank, (10, 8, 6, 4, 2, 1)),
}


def main() -> None:
    whole = [network(seed) for seed in range(SEEDS)]
    for model in whole:
        train(model, 2 * EPOCHS)
    rcParams["svg.hashsalt"] = "compression"
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    dense = float(np.mean([accuracy(model) for model in whole]))
    axes.axhline(100 * dense, color="gray", linewidth=1, linestyle=":", label=f"the whole network, {100 * dense:.1f} %")
    for name, (way, strengths) in WAYS.items():
        counts, scores = [], []
        for strength in strengths:
            made = [deepcopy(model) for model in whole]
            for model in made:
                way(model, strength)
            counts.append(left(made[0]) / left(whole[0]))
            scores.append([100 * accuracy(model) for model in made])
            print(f"{name:24} {strength:5} {counts[-1]:6.1%} left, accuracy {np.mean(scores[-1]):.1f} %")
        low, high = np.min(scores, axis=1), np.max(scores, axis=1)
        line = axes.plot(counts, np.mean(scores, axis=1), marker="o", markersize=4, label=name)[0]
        axes.fill_between(counts, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xscale="log", xlabel="numbers that are left", ylabel="right on 355 held-out digits, %", ylim=(40, 100))
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    axes.set_xticks(ticks, [f"{tick:.0%}" for tick in ticks])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    with replacing(OUT) as draft:
        figure.savefig(draft, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
