"""Cross-entropy of logits with targets that are probabilities: mixed labels, or what another model predicts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor, where

from .reduction import Reduction, reduce_losses
from .softmax import log_softmax


def are_probabilities(targets: Any, logits: Any) -> bool:
    """Whether `targets` are one number for each logit, and not the class of each row."""
    if isinstance(targets, Tensor) and targets.data.dtype.kind in "iu":
        return False
    return np.shape(targets) == np.shape(logits) and np.asarray(targets).dtype.kind == "f"


def soft_cross_entropy(
    logits: Tensor, probabilities: Any, label_smoothing: float, class_weight: Array | None, reduction: Reduction
) -> Tensor:
    """-sum(w p log softmax(logits)) over the last axis, for probabilities p and logits (..., C).

    `cross_entropy` says more. Gradients reach the probabilities too. A class with p = 0 adds nothing, also where its
    logit is minus infinity.
    """
    log_probs = log_softmax(logits)
    p = probabilities
    if label_smoothing:
        p = p * (1 - label_smoothing) + label_smoothing / log_probs.shape[-1]
    if class_weight is not None:
        p = p * Tensor(class_weight, log_probs.dtype)
    losses = -(where(np.asarray(p) != 0, log_probs, 0.0) * p).sum(axis=-1)
    return reduce_losses(losses, reduction)  # weights do not divide this mean
