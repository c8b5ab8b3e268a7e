"""Negative log-likelihood: the loss of log-probabilities against integer targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Tensor, gather, where

from .reduction import Reduction, check_reduction, reduce_losses
from .targets import Targets, read_class_weight, read_targets


def nll_loss(
    log_probs: Any, targets: Any,
    ignore_index: int = -100, weight: Any = None, reduction: Reduction = "mean", axis: int = -1,
) -> Tensor:  # fmt: skip
    """-log_probs[target], for log-probabilities (..., C) and integer targets (...).

    Targets equal to `ignore_index` do not count; `weight` (C,) scales each class, and the mean is divided by the
    weights of the targets (NaN when no target counts, as in PyTorch). `axis` is that of the classes.

    Raises TypeError for targets that are not integers, IndexError for one that is not a class, ValueError for shapes.

    >>> nll_loss(Tensor([[-0.5, -1.0]]), Tensor([1]))
    Tensor(1.)
    """
    check_reduction("nll_loss", reduction)
    log_probs = move_classes_last("nll_loss", log_probs, axis)
    class_weight = read_class_weight("nll_loss", weight, log_probs)
    rows = read_targets("nll_loss", log_probs.data, targets, ignore_index, class_weight)
    return reduce_rows(target_losses(log_probs, rows), rows, reduction)


def move_classes_last(name: str, scores: Any, axis: int) -> Tensor:
    """The scores with the axis of the classes moved to the end."""
    scores = scores if isinstance(scores, Tensor) else Tensor(scores)
    if not -scores.ndim <= axis < scores.ndim:
        raise IndexError(f"{name}: axis {axis} of shape {scores.shape}; it must be the axis of the classes")
    return scores if axis in (-1, scores.ndim - 1) else np.moveaxis(scores, axis, -1)


def target_losses(log_probs: Tensor, rows: Targets) -> Tensor:
    """-weight log_probs[target] of each row: (..., C) -> (...); 0 where the weight is 0, also where one is infinite."""
    shape = log_probs.shape[:-1]
    losses = -gather(log_probs, rows.target.reshape(*shape, 1), axis=-1).reshape(shape)
    if rows.weight is None:
        return losses
    weight = Tensor(rows.weight.reshape(shape), log_probs.dtype)
    return where(weight != 0, losses, 0.0) * weight


def reduce_rows(losses: Tensor, rows: Targets, reduction: Reduction) -> Tensor:
    """The losses reduced; their mean is divided by the weights of the rows."""
    if reduction != "mean":
        return reduce_losses(losses, reduction)
    total = rows.total_weight
    # a mean, unlike a sum, stays in the range of float16
    return losses.mean() * (losses.size / total) if total else losses.sum() * np.nan
