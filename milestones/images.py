"""What the milestones that read images share: the training, the examination, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import claims
import numpy as np
import pictures

from tinytorch.autograd import no_grad
from tinytorch.data import DataLoader
from tinytorch.layers import CrossEntropyLoss, Module
from tinytorch.optim import AdamW, OneCycleSchedule
from tinytorch.tensor import Array
from tinytorch.training import History, Trainer

DIGITS = "0123456789"


def train(
    model: Module, data: DataLoader, held_out: DataLoader, *, epochs: int, lr: float, label_smoothing: float = 0.0
) -> tuple[History, float]:
    """AdamW along one cycle of the learning rate; returns the history and the seconds it took.

    What is reached on `held_out` is shown after each epoch, and nothing is chosen by it.
    """
    optimizer = AdamW(model, lr=lr, weight_decay=0.05)
    schedule = OneCycleSchedule(optimizer, lr, total_steps=epochs * len(data))
    loss = CrossEntropyLoss(label_smoothing=label_smoothing)
    trainer = Trainer(model, optimizer, loss, schedule=schedule, metrics=["accuracy"])
    started = perf_counter()
    history = trainer.fit(data, held_out, epochs=epochs)
    return history, perf_counter() - started


def read(model: Module, data: DataLoader) -> Array:
    """The class (N,) that the model sees in each image."""
    model.eval()
    with no_grad():
        return np.concatenate([model(images).data.argmax(axis=1) for images, _ in data])


def examine(
    model: Module,
    held_out: DataLoader,
    trained: tuple[History, float],
    at_least: float,
    names: Sequence[str] = DIGITS,
    plot: Path | None = None,
) -> int:
    """Read every held-out image, draw what was learned, and state the claim; returns the exit code."""
    history, seconds = trained
    pixels, labels = (part.data for part in next(iter(DataLoader(held_out.dataset, len(held_out.dataset)))))
    said = read(model, held_out)
    right = int((said == labels).sum())
    if plot:
        pictures.save(picture(history, pixels, labels, said, names), plot)
    return claims.state(
        f"at least {percent(at_least)} of the held-out images are read rightly",
        f"{right:,} of {len(said):,}, {percent(right / len(said))}, after {seconds:.1f} s of training",
        right >= at_least * len(said),
    )


def percent(part: float) -> str:
    """Rounded down, so that nothing looks better than it is."""
    return f"{np.floor(part * 1e4 + 1e-9) / 100:g}%"


def picture(history: History, pixels: Array, labels: Array, said: Array, names: Sequence[str]) -> Any:
    """How it was learned, and images (N, C, H, W) with what was seen in them: the wrong ones first."""
    from matplotlib.figure import Figure

    drawn: Any = Figure(figsize=(13, 5.2), layout="constrained")
    left, right = drawn.subfigures(1, 2, width_ratios=[2, 3])
    wrong = int((said != labels).sum())
    left.suptitle("learning")
    right.suptitle(f"{wrong:,} of {len(said):,} held-out images are read wrongly")

    axes = left.subplots()
    epochs = np.unique(history["epoch"])
    for name, label, color in (
        ("accuracy", "training", pictures.ORANGE),
        ("valid_accuracy", "held out", pictures.BLUE),
    ):
        reached = [np.nanmean(history[name][history["epoch"] == epoch]) * 100 for epoch in epochs]
        axes.plot(epochs, reached, ".-", color=color, label=label)
    axes.set(xlabel="epoch", ylabel="read rightly (%)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    pictures.key(axes)

    wrong_first = np.argsort(said == labels, kind="stable")
    for axes, index in zip(right.subplots(4, 6).flat, wrong_first, strict=False):
        seen, right_one = names[said[index]], names[labels[index]]
        axes.imshow(pixels[index].transpose(1, 2, 0).squeeze(), cmap="gray_r")  # (C, H, W) -> (H, W, C)
        axes.axis("off")
        if seen == right_one:
            axes.set_title(seen, fontsize=8)
        else:
            axes.set_title(f"{seen}, not {right_one}", fontsize=8, color="crimson")
    return drawn
