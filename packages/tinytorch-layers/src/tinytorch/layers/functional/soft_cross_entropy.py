"""Cross-entropy of logits with targets that are probabilities: mixed labels, or what another model predicts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Tensor, where

from .reduction import Reduction
from .softmax import log_softmax
from .targets import class_weights


def are_probabilities(targets: Any, logits: Any) -> bool:
    """Whether `targets` are one number for each logit, and not the class of each row."""
    if isinstance(targets, Tensor) and targets.data.dtype.kind in "iu":
        return False
    return np.shape(targets) == np.shape(logits) and np.asarray(targets).dtype.kind == "f"


def soft_cross_entropy(
    logits: Tensor, probabilities: Any, label_smoothing: float, weight: Any, reduction: Reduction
) -> Tensor:
    """-sum(p log softmax(logits)) over the last axis, for probabilities p and logits (..., C).

    `cross_entropy` says more. Gradients reach the probabilities too. Where p is 0 it counts for nothing, also where the
    logit is minus infinity.
    """
    log_probs = log_softmax(logits)
    classes = log_probs.shape[-1]
    p = probabilities
    if label_smoothing:
        p = p * (1 - label_smoothing) + label_smoothing / classes
    weights = class_weights("cross_entropy", weight, classes, log_probs.dtype)
    if weights is not None:
        p = p * Tensor(weights, weights.dtype)
    losses = -(where(np.asarray(p) != 0, log_probs, 0.0) * p).sum(axis=-1)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.mean() if losses.size else losses.sum() * np.nan  # weights do not take part in this mean
