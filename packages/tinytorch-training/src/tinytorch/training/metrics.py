"""What is measured besides the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import exp
from typing import Any, TypeAlias

import numpy as np

from tinytorch.tensor import Tensor, array_of

Metric: TypeAlias = Callable[[Any, Any], Any]


def accuracy(outputs: Tensor, targets: Any, ignore_index: int = -100) -> tuple[int, int]:
    """How many of the largest outputs are at the target class, and of how many.

    `outputs` (..., classes), `targets` (...) integers; targets equal to `ignore_index` do not count.

    >>> accuracy(Tensor([[0.1, 0.9], [0.8, 0.2]]), Tensor([1, 1]))
    (1, 2)
    """
    found, wanted = outputs.data, array_of(targets)
    if found.shape[:-1] != wanted.shape or wanted.dtype.kind not in "iu":
        seen = f"outputs {found.shape} and targets {wanted.shape} {wanted.dtype}"
        raise ValueError(f"accuracy: {seen}; give (..., classes) and integers (...)")
    valid = wanted != ignore_index
    right = (found.argmax(axis=-1) == wanted) & valid
    return int(np.count_nonzero(right)), int(np.count_nonzero(valid))


def name_metrics(metrics: Mapping[str, Metric] | Iterable[str | Metric]) -> tuple[dict[str, Metric], bool]:
    """Metrics by name, and whether perplexity, which follows from the loss, is wanted."""
    found: dict[str, Metric] = {}
    metrics = [metrics] if isinstance(metrics, str) else metrics
    for entry in metrics.items() if isinstance(metrics, Mapping) else metrics:
        if isinstance(entry, tuple):
            found[entry[0]] = entry[1]
        elif entry in ("accuracy", "perplexity"):
            found[entry] = accuracy
        elif callable(entry):
            found[getattr(entry, "__name__", type(entry).__name__)] = entry
        else:
            raise ValueError(f"Trainer: metric {entry!r}; give 'accuracy', 'perplexity' or a function")
    return found, found.pop("perplexity", None) is accuracy


class Mean:
    """A mean of batches, each with its weight.

    >>> mean = Mean(); mean.add(1.0, 3); mean.add(5.0, 1); mean.value
    2.0
    """

    def __init__(self) -> None:
        self.total = self.weight = 0.0

    def add(self, value: Any, weight: float) -> None:
        """Take in one batch: its mean, or a pair (total, count) that brings its own weight."""
        total, count = value if isinstance(value, tuple) else (float(value) * weight, weight)
        self.total += float(total)
        self.weight += float(count)

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else float("nan")


def perplexity_of(loss: float) -> float:
    """exp(loss), infinite where that is too large for a float."""
    return exp(loss) if loss < 709 else float("inf")
