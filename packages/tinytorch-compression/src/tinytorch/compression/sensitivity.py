"""How much each layer alone can lose: a scan, and its picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.layers import Module
from tinytorch.layers.state import write
from tinytorch.tensor import Array, replacing

from .layers import Targets, check_amount, find, has_matrix, has_table, once, share_of
from .magnitude import largest, magnitudes


@dataclass(frozen=True)
class Sensitivity:
    """What `sensitivity` found: a score for each layer and amount. `print` shows it as a table."""

    amounts: tuple[float, ...]
    """The shares of a layer that were pruned."""
    baseline: float
    """The score of the whole model."""
    scores: dict[str, tuple[float, ...]]
    """By layer, one score for each amount."""

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the change from the baseline, a row for each layer, and return the matplotlib figure.

        With `path` the picture is saved there, in the format its ending names. Raises ImportError when matplotlib is
        missing.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError(
                "plot needs matplotlib, which is not installed; pip install 'tinytorch-compression[plot]'"
            ) from None
        change = np.array(list(self.scores.values())) - self.baseline  # (layers, amounts)
        finite = np.abs(change[np.isfinite(change)])
        limit = max(float(finite.max()) if finite.size else 0.0, 1e-12)
        figure = Figure(figsize=(2.5 + 0.9 * len(self.amounts), 1.4 + 0.26 * len(self.scores)), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(change, vmin=-limit, vmax=limit, cmap="coolwarm", aspect="auto")
        axes.set(xlabel="pruned share of the layer", title=f"change from {self.baseline:.4g}")
        axes.set_xticks(range(len(self.amounts)), [f"{amount:g}" for amount in self.amounts])
        axes.set_yticks(range(len(self.scores)), list(self.scores))
        figure.colorbar(image, ax=axes)
        if path is not None:
            with replacing(path) as draft:
                figure.savefig(draft, format=Path(path).suffix[1:] or "png")
        return figure

    def __str__(self) -> str:
        width = max(map(len, self.scores))
        lines = [" " * width + "".join(f"{amount:>9.3g}" for amount in self.amounts)]
        lines += [f"{name:<{width}}" + "".join(f"{x:>9.4g}" for x in row) for name, row in self.scores.items()]
        return "\n".join([*lines, f"the whole model: {self.baseline:.4g}"])


def sensitivity(
    model: Module, evaluate: Callable[[Module], float], amounts: Iterable[float] = (0.25, 0.5, 0.75, 0.9),
    targets: Targets = None,
) -> Sensitivity:  # fmt: skip
    """Prune each layer alone by each of `amounts`, and ask `evaluate(model)` for a score, such as an accuracy.

    The smallest weights of a layer become zero, as `prune` chooses them, and afterwards the model is bit for bit what
    it was, also when `evaluate` raises. It is evaluated in `eval()` mode. `targets` names layers, as for `prune`.

    Raises as `prune` does, and ValueError for no amounts.

    >>> from tinytorch.layers import Linear, Sequential
    >>> model = Sequential(Linear(4, 4), Linear(4, 2))
    >>> found = sensitivity(model, lambda model: float((model[1].weight.data == 0).mean()), [0.0, 0.5])
    >>> found.scores
    {'0': (0.0, 0.0), '1': (0.0, 0.5)}
    """
    shares = tuple(check_amount("sensitivity", amount) for amount in amounts)
    if not shares:
        raise ValueError("sensitivity: amounts is empty; give some, such as [0.5, 0.9]")
    layers = once(find("sensitivity", model, targets, has_matrix, has_table))
    sizes = {name: magnitudes("sensitivity", name, layer) for name, layer in layers.items()}
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        baseline = float(evaluate(model))
        scores = {
            name: tuple(_without(model, layer, sizes[name], share, evaluate) for share in shares)
            for name, layer in layers.items()
        }
    finally:
        for module, mode in modes:
            module.training = mode
    return Sensitivity(shares, baseline, scores)


def _without(model: Module, layer: Module, size: Array, share: float, evaluate: Callable[[Module], float]) -> float:
    """The score while the smallest weights of one layer are zero."""
    weight: Any = layer.weight  # type: ignore[attr-defined]
    before = weight.data.copy()
    try:
        write(weight, np.where(largest(size, share_of(share, size.size)), before, before.dtype.type(0)))
        return float(evaluate(model))
    finally:
        write(weight, before)
