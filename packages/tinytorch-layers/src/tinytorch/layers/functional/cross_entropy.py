"""Cross-entropy of logits x with integer targets t. With p = softmax(x), w the weights of the classes, s the smoothing:

    loss of a row      w_t (-log p_t)
    with smoothing     (1 - s) w_t (-log p_t) + s / C sum over c of w_c (-log p_c)
    mean               sum of the losses / sum of w_t
    d loss / d x       w_t (p - onehot(t)); of the smoothing term s / C (sum(w) p - w)

The forward pass keeps exp(x) and its sums: one product with a number for each row makes them p times that number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive, where

from .nll import move_classes_last, reduce_rows, target_losses
from .reduction import Reduction, check_reduction, reduce_losses
from .softmax import log_softmax, shift
from .sums import sum_within_rows
from .targets import Targets, read_class_weight, read_targets

_sum: Any = np.add.reduce


def cross_entropy(
    logits: Any, targets: Any, ignore_index: int = -100, label_smoothing: float = 0.0, weight: Any = None,
    reduction: Reduction = "mean", axis: int = -1,
) -> Tensor:  # fmt: skip
    """-log softmax(logits)[target], for logits (..., C) and integer targets (...), or probabilities (..., C).

    Targets equal to `ignore_index` do not count; `weight` (C,) scales each class, and the mean is divided by the
    weights of the targets (NaN when no target counts, as in PyTorch). With `label_smoothing` s the target is worth
    1 - s and every class s / C. `axis` is that of the classes: PyTorch's layout (N, C, ...) is axis 1.

    Floating-point targets of the shape of the logits say how probable each class is: the loss is
    -sum(target * log softmax(logits)) over the classes, its mean that of the rows, and `ignore_index` has no meaning.

    Raises TypeError for targets that are neither, IndexError for one that is not a class, ValueError for shapes and for
    a `weight` that requires gradients.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931)
    """
    check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}; it must lie between 0 and 1")
    soft = _are_probabilities(targets, logits)
    if soft or axis != -1 or weight is not None:
        logits = move_classes_last("cross_entropy", logits, axis)
    weight = read_class_weight("cross_entropy", weight, logits)
    if soft:
        probabilities: Any = targets if isinstance(targets, Tensor) else np.asarray(targets)
        probabilities = probabilities if axis == -1 else np.moveaxis(probabilities, axis, -1)
        return _soft_cross_entropy(logits, probabilities, label_smoothing, weight, reduction)
    return softmax_cross_entropy(
        logits, targets, ignore_index=ignore_index, label_smoothing=label_smoothing, weight=weight, reduction=reduction
    )


def _are_probabilities(targets: Any, logits: Any) -> bool:
    """Whether `targets` are one number for each logit, and not the class of each row."""
    if isinstance(targets, Tensor) and targets.data.dtype.kind in "iu":
        return False
    return np.shape(targets) == np.shape(logits) and np.asarray(targets).dtype.kind == "f"


def _soft_cross_entropy(logits: Tensor, p: Any, smoothing: float, weight: Array | None, reduction: Reduction) -> Tensor:
    """-sum(w p log softmax(logits)) over the last axis, for probabilities p (..., C), which get gradients too."""
    log_probs = log_softmax(logits)
    if smoothing:
        p = p * (1 - smoothing) + smoothing / log_probs.shape[-1]
    if weight is not None:
        p = p * Tensor(weight, log_probs.dtype)
    losses = -(where(np.asarray(p) != 0, log_probs, 0.0) * p).sum(axis=-1)  # p = 0 adds nothing, also to -infinity
    return reduce_losses(losses, reduction)  # weights do not divide this mean


class Saved(NamedTuple):
    """What the backward pass needs, for n rows of C classes."""

    rows: Targets
    exponentials: Array  # (n, C) exp(logits), each row times any one number
    sums: Array  # (n,) of the exponentials
    divisor: float  # of the sum of the losses


@primitive(fused=True, upcast=True)
def softmax_cross_entropy(
    logits: Array, targets: Array, /,
    ignore_index: int, label_smoothing: float, weight: Array | None, reduction: Reduction,
) -> tuple[Array, Saved]:  # fmt: skip
    """-log softmax(logits)[target]; see `cross_entropy`. `weight` is an array (C,)."""
    logits = logits if logits.dtype.kind == "f" else logits.astype(np.float64)
    rows = read_targets("cross_entropy", logits, targets, ignore_index, weight)
    x = logits.reshape(len(rows.target), logits.shape[-1])  # (..., C) -> (n, C)
    top = shift(x, axis=-1)
    exponentials = np.exp(x) if isinstance(top, float) else np.exp(x - top)
    sums = sum_within_rows(exponentials)
    log_sums = np.log(sums)  # (n,), of exp(x)
    if not isinstance(top, float):
        log_sums += top[:, 0]
    losses = log_sums - x.reshape(-1)[_target_places(rows, x.shape)]
    if rows.weight is not None:
        losses *= rows.weight
    if label_smoothing:
        losses *= 1 - label_smoothing
        total = log_sums * x.shape[1] - _sum(x, axis=1) if weight is None else log_sums * _sum(weight) - x @ weight
        losses += label_smoothing / x.shape[1] * total  # (n,), over all classes
    if rows.valid is not None:
        losses[~rows.valid] = 0  # also where the logits of an ignored row are infinite
    divisor = rows.total_weight if reduction == "mean" else 1.0
    saved = Saved(rows, exponentials, sums, divisor)
    if reduction == "none":
        return losses.reshape(logits.shape[:-1]), saved
    return _sum(losses) * (1 / divisor if divisor else np.nan), saved


def _target_places(rows: Targets, shape: tuple[int, ...]) -> Array:
    """Where the number of each row's target is in a flattened matrix of this shape."""
    n, classes = shape
    return np.add(rows.target, np.arange(0, n * classes, classes), dtype=np.int64)  # of uint64 they would be floats


def _backward(
    g: Array, out: Array, saved: Saved, needs: tuple[bool, ...], logits: Array, targets: Any,
    ignore_index: int, label_smoothing: float, weight: Array | None, reduction: Reduction,
) -> tuple[Array, None]:  # fmt: skip
    rows, exponentials, sums, divisor = saved
    n, classes = exponentials.shape
    scale = g.reshape(-1) * (1 / divisor if divisor else 0.0)  # (n,) or (1,)
    on_target = scale if rows.weight is None else rows.weight * scale  # what -log p_t of each row counts
    total, on_class = on_target, None
    if label_smoothing:
        on_target = on_target * (1 - label_smoothing)
        on_class = np.broadcast_to(scale * (label_smoothing / classes), (n,))  # and every w_c (-log p_c)
        total = on_target + on_class * (classes if weight is None else _sum(weight))
    dlogits = np.empty(logits.shape, g.dtype)
    dx = np.multiply(exponentials, (total / sums)[:, None], out=dlogits.reshape(n, classes))
    if on_class is not None:
        dx -= on_class[:, None] if weight is None else np.multiply.outer(on_class, weight)
    dlogits.reshape(-1)[_target_places(rows, dx.shape)] -= on_target
    if rows.valid is not None:
        dx[~rows.valid] = 0
    return dlogits, None


def _by_parts(
    logits: Any, targets: Any, ignore_index: int, label_smoothing: float, weight: Array | None, reduction: Reduction
) -> Tensor:
    log_probs = log_softmax(logits)
    rows = read_targets("cross_entropy", log_probs.data, targets, ignore_index, weight)
    losses = target_losses(log_probs, rows)
    if label_smoothing:
        weighted = log_probs if weight is None else log_probs * Tensor(weight, log_probs.dtype)
        smoothing = -weighted.sum(axis=-1) * (label_smoothing / log_probs.shape[-1])
        if rows.valid is not None:
            smoothing = where(rows.valid.reshape(smoothing.shape), smoothing, 0.0)
        losses = losses * (1 - label_smoothing) + smoothing
    return reduce_rows(losses, rows, reduction)


defvjp(softmax_cross_entropy, fused=_backward, composition=_by_parts)
