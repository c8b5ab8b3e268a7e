"""Cross-entropy of logits with integer targets, without ever holding the probabilities.

The forward pass keeps log(sum(exp(logits))), one number a row; the backward pass makes the probabilities from it,
directly in the array that becomes the gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive, where

from .blocks import row_blocks
from .nll import averaged, classes_last, nll_loss, right_classes
from .reduction import Reduction, checked
from .softmax import log_softmax
from .targets import checked_targets, class_weights

_max: Any = np.maximum.reduce
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
    """-log softmax(logits)[target], for logits (..., C) and integer targets (...).

    Targets equal to `ignore_index` count for nothing; `weight` (C,) scales each class, and the mean is divided by the
    weights of the targets (NaN when nothing counts, as in PyTorch). With `label_smoothing` s the target is worth
    1 - s and every class s / C. `axis` is where the classes stand: PyTorch's layout (N, C, ...) is axis 1.

    Raises TypeError for targets that are not integers, IndexError for one that is no class, ValueError for shapes.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931)
    """
    checked("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}; it must lie between 0 and 1")
    return softmax_cross_entropy(
        classes_last("cross_entropy", logits, axis),
        targets,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        weight=weight,
        reduction=reduction,
    )


class Kept(NamedTuple):
    """What the backward pass needs: for n rows of C classes, four vectors of n numbers."""

    targets: Array
    norm: Array  # (n, 1) log(sum(exp(logits)))
    importance: Array  # the weight of each row, 0 where it is ignored
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
    if logits.dtype.kind != "f":
        logits = logits.astype(np.float64)
    flat, counted = checked_targets("cross_entropy", logits, targets, ignore_index)
    n, classes = flat.size, logits.shape[-1]
    weights = class_weights("cross_entropy", weight, classes, logits.dtype)
    x = logits.reshape(n, classes)
    norm = log_sum_exp(x)
    importance = np.ones(n, x.dtype) if weights is None else weights[flat]
    if counted is not None:
        importance *= counted
    losses = norm[:, 0] - x[np.arange(n), flat]
    losses *= importance
    if label_smoothing:
        every = classes * norm[:, 0] - _sum(x, axis=1) if weights is None else _sum(weights) * norm[:, 0] - x @ weights
        if counted is not None:
            every *= counted
        losses *= 1 - label_smoothing
        every *= label_smoothing / classes
        losses += every
    if counted is not None:
        losses[~counted] = 0  # also where the logits of an ignored row are infinite
    divisor = float(_sum(importance)) if reduction == "mean" else 1.0
    kept = Kept(flat, norm, importance, counted, divisor)
    if reduction == "none":
        return losses.reshape(targets.shape), kept
    total = np.asarray(_sum(losses))
    return total * (1 / divisor if divisor else np.nan), kept


def log_sum_exp(x: Array) -> Array:
    """log(sum(exp(x))) of each row: (n, C) -> (n, 1), taken about the largest so that nothing overflows."""
    n, classes = x.shape
    norm = np.empty((n, 1), x.dtype)
    ones = np.ones((classes, 1), x.dtype)
    for block in row_blocks(n, classes):
        top = _max(x[block], axis=1, keepdims=True)
        e = np.subtract(x[block], top)
        np.exp(e, out=e)
        total = norm[block]
        np.matmul(e, ones, out=total)
        np.log(total, out=total)
        total += top
    return norm


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
    classes = logits.shape[-1]
    weights = class_weights("cross_entropy", weight, classes, g.dtype)
    dx = np.empty(logits.shape, g.dtype)
    x, rows = logits.reshape(-1, classes), dx.reshape(-1, classes)
    scale = np.reshape(g, -1) * (1 / kept.divisor if kept.divisor else 0.0)  # (n,) or (1,)
    hit = kept.importance * scale
    spread = None
    if label_smoothing:
        hit *= 1 - label_smoothing
        spread = np.broadcast_to(scale * (label_smoothing / classes), hit.shape)
        spread = spread if kept.counted is None else spread * kept.counted
    pull = hit if spread is None else hit + spread * (classes if weights is None else _sum(weights))
    for block in row_blocks(*x.shape):
        p = rows[block]
        np.subtract(x[block], kept.norm[block], out=p)
        np.exp(p, out=p)
        p *= pull[block, None]
        if spread is not None:
            p -= spread[block, None] if weights is None else spread[block, None] * weights
    rows[np.arange(len(rows)), kept.targets] -= hit
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
    every = -(log_probs if weights is None else log_probs * weights).sum(axis=-1)
    every = averaged(where(counted != 0, every, 0.0), importance, reduction)
    return right * (1 - label_smoothing) + every * (label_smoothing / log_probs.shape[-1])


defvjp(softmax_cross_entropy, fused=_backward, composition=_by_parts)
