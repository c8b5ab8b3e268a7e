"""Cross-entropy of logits with integer targets.

The forward pass keeps the exponentials of the logits and their sums. One product with a number for each row makes them
the probabilities and the gradient at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive, where

from .nll import averaged, classes_last, nll_loss, right_classes
from .reduction import Reduction, checked
from .soft_cross_entropy import are_probabilities, soft_cross_entropy
from .softmax import log_softmax, shift
from .sums import sum_within_rows
from .targets import checked_targets, class_weights

_sum: Any = np.add.reduce


def cross_entropy(
    logits: Any,
    targets: Any,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: Any = None,
    reduction: Reduction = "mean",
    axis: int = -1,
) -> Tensor:
    """-log softmax(logits)[target], for logits (..., C) and integer targets (...), or probabilities (..., C).

    Targets equal to `ignore_index` count for nothing; `weight` (C,) scales each class, and the mean is divided by the
    weights of the targets (NaN when nothing counts, as in PyTorch). With `label_smoothing` s the target is worth
    1 - s and every class s / C. `axis` is where the classes stand: PyTorch's layout (N, C, ...) is axis 1.

    Floating-point targets of the shape of the logits say how probable each class is: the loss is
    -sum(target * log softmax(logits)) over the classes, its mean that of the rows, and `ignore_index` has no meaning.

    Raises TypeError for targets that are neither, IndexError for one that is no class, ValueError for shapes.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931)
    """
    checked("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}; it must lie between 0 and 1")
    if are_probabilities(targets, logits):
        probabilities: Any = targets if isinstance(targets, Tensor) else np.asarray(targets)
        if axis != -1:
            probabilities = np.moveaxis(probabilities, axis, -1)
        return soft_cross_entropy(
            classes_last("cross_entropy", logits, axis), probabilities, label_smoothing, weight, reduction
        )
    return softmax_cross_entropy(
        logits if axis == -1 else classes_last("cross_entropy", logits, axis),
        targets,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        weight=weight,
        reduction=reduction,
    )


class Kept(NamedTuple):
    """What the backward pass needs, for n rows of C classes."""

    right: Array  # (n,) where the score of each row's target is, in the flattened scores
    exponentials: Array  # (n, C) exp(logits), each row times any one number
    sums: Array  # (n,) of the exponentials
    importance: Array | None  # (n,) the weight of each row, 0 where it is ignored; None where each is 1
    counted: Array | None  # which rows count, None for all
    divisor: float  # what the sum of the losses was divided by


@primitive(fused=True)
def softmax_cross_entropy(
    logits: Array,
    targets: Array,
    /,
    ignore_index: int,
    label_smoothing: float,
    weight: Any,
    reduction: Reduction,
) -> tuple[Array, Kept]:
    """-log softmax(logits)[target]; `cross_entropy` says more."""
    dtype = logits.dtype
    if dtype.kind != "f":
        logits = logits.astype(np.float64)
    elif dtype.char == "e":
        logits = logits.astype(np.float32)
    flat, counted = checked_targets("cross_entropy", logits, targets, ignore_index)
    n, classes = flat.size, logits.shape[-1]
    weights = None if weight is None else class_weights("cross_entropy", weight, classes, logits.dtype)
    x = logits.reshape(n, classes)
    top = shift(x, axis=-1)
    exponentials = np.exp(x) if isinstance(top, float) else np.exp(x - top)
    sums = sum_within_rows(exponentials)
    norm = np.log(sums)  # log(sum(exp(x)))
    if not isinstance(top, float):
        norm += top[:, 0]
    right = np.add(flat, np.arange(0, n * classes, classes), dtype=np.int64)  # which of uint64 would be floats
    losses = norm - x.reshape(-1)[right]
    importance = None
    if weights is not None or counted is not None:
        importance = np.ones(n, x.dtype) if weights is None else weights[flat]
        if counted is not None:
            importance *= counted
        losses *= importance
    if label_smoothing:
        every = classes * norm - _sum(x, axis=1) if weights is None else _sum(weights) * norm - x @ weights
        if counted is not None:
            every *= counted
        losses *= 1 - label_smoothing
        every *= label_smoothing / classes
        losses += every
    if counted is not None:
        losses[~counted] = 0  # also where the logits of an ignored row are infinite
    divisor = 1.0
    if reduction == "mean":
        divisor = float(n if importance is None else _sum(importance))
    kept = Kept(right, exponentials, sums, importance, counted, divisor)
    out = losses.reshape(targets.shape) if reduction == "none" else _sum(losses) * (1 / divisor if divisor else np.nan)
    return out.astype(dtype) if dtype.char == "e" else out, kept


def _backward(
    g: Array,
    out: Array,
    kept: Kept,
    needs: tuple[bool, ...],
    logits: Array,
    targets: Any,
    ignore_index: int,
    label_smoothing: float,
    weight: Any,
    reduction: Reduction,
) -> tuple[Array, None]:
    """With p = softmax(x), for a row of importance w: w (p - onehot(target)); smoothing spreads the onehot."""
    n, classes = kept.exponentials.shape
    if g.dtype.char == "e":
        g = g.astype(np.float32)
    weights = None if weight is None else class_weights("cross_entropy", weight, classes, g.dtype)
    scale = g.reshape(-1) * (1 / kept.divisor if kept.divisor else 0.0)  # (n,) or (1,)
    hit = scale if kept.importance is None else kept.importance * scale
    pull, spread = hit, None
    if label_smoothing:
        hit = hit * (1 - label_smoothing)
        spread = np.broadcast_to(scale * (label_smoothing / classes), (n,))
        spread = spread if kept.counted is None else spread * kept.counted
        pull = hit + spread * (classes if weights is None else _sum(weights))
    dx = np.empty(logits.shape, g.dtype)
    rows = np.multiply(kept.exponentials, (pull / kept.sums)[:, None], out=dx.reshape(-1, classes))
    if spread is not None:
        rows -= spread[:, None] if weights is None else np.multiply.outer(spread, weights)
    dx.reshape(-1)[kept.right] -= hit
    if kept.counted is not None:
        rows[~kept.counted] = 0
    return dx, None


def _by_parts(
    logits: Any,
    targets: Any,
    ignore_index: int,
    label_smoothing: float,
    weight: Any,
    reduction: Reduction,
) -> Tensor:
    log_probs = log_softmax(logits)
    right = nll_loss(log_probs, targets, ignore_index, weight, reduction)
    if not label_smoothing:
        return right
    _, importance = right_classes("cross_entropy", log_probs, targets, ignore_index, weight)
    _, counted = right_classes("cross_entropy", log_probs, targets, ignore_index, None)
    weights = class_weights("cross_entropy", weight, log_probs.shape[-1], log_probs.dtype)
    every = -(log_probs if weights is None else log_probs * Tensor(weights, weights.dtype)).sum(axis=-1)
    every = averaged(where(counted != 0, every, 0.0), importance, reduction)
    return right * (1 - label_smoothing) + every * (label_smoothing / log_probs.shape[-1])


defvjp(softmax_cross_entropy, fused=_backward, composition=_by_parts)
