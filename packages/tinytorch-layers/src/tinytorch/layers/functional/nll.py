"""Negative log-likelihood: the loss of log-probabilities against integer targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Tensor, gather, where

from .reduction import Reduction, checked
from .targets import checked_targets, class_weights


def nll_loss(
    log_probs: Any,
    targets: Any,
    ignore_index: int = -100,
    weight: Any = None,
    reduction: Reduction = "mean",
    axis: int = -1,
) -> Tensor:
    """-log_probs[target], for log-probabilities (..., C) and integer targets (...).

    Targets equal to `ignore_index` count for nothing; `weight` (C,) scales each class, and the mean is divided by the
    weights of the targets (NaN when nothing counts, as in PyTorch). `axis` is where the classes stand.

    Raises TypeError for targets that are not integers, IndexError for one that is no class, ValueError for shapes.

    >>> nll_loss(Tensor([[-0.5, -1.0]]), Tensor([1]))
    Tensor(1.)
    """
    checked("nll_loss", reduction)
    log_probs = classes_last("nll_loss", log_probs, axis)
    chosen, importance = right_classes("nll_loss", log_probs, targets, ignore_index, weight)
    picked = gather(log_probs, chosen[..., None], axis=-1).reshape(chosen.shape)
    losses = -where(importance != 0, picked, 0.0) * importance  # what counts for nothing may be infinite
    return averaged(losses, importance, reduction)


def classes_last(name: str, scores: Any, axis: int) -> Tensor:
    """The scores with the axis of the classes moved to the end."""
    scores = scores if isinstance(scores, Tensor) else Tensor(scores)
    if not -scores.ndim <= axis < scores.ndim:
        raise IndexError(f"{name}: axis {axis} of shape {scores.shape}; it must be the axis of the classes")
    return scores if axis in (-1, scores.ndim - 1) else np.moveaxis(scores, axis, -1)


def right_classes(name: str, scores: Tensor, targets: Any, ignore_index: int, weight: Any) -> tuple[Tensor, Tensor]:
    """For each row the right class, and how much it counts: 0 where it is ignored, else the weight of its class."""
    shape = scores.shape[:-1]
    chosen, counted = checked_targets(name, scores.data, targets, ignore_index)
    weights = class_weights(name, weight, scores.shape[-1], scores.dtype)
    importance = np.ones(chosen.size, scores.dtype) if weights is None else weights[chosen]
    if counted is not None:
        importance = importance * counted
    return Tensor(chosen.reshape(shape)), Tensor(importance.reshape(shape), scores.dtype)


def averaged(losses: Tensor, importance: Tensor, reduction: Reduction) -> Tensor:
    """The losses reduced, where their mean is weighted by importance."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    weight = float(importance.data.sum(dtype=np.float64))
    # a mean, unlike a sum, is computed in float32 where the losses are float16
    return losses.mean() * (losses.size / weight) if weight else losses.sum() * np.nan
