"""Losses of numbers against numbers, and of probabilities against probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, clip, primitive

from ..checks import real
from .reduction import Reduction, check_reduction, reduce_losses
from .sigmoids import sigmoid


def _pair(name: str, x: Any, target: Any, reduction: str) -> tuple[Tensor, Tensor]:
    """Both as tensors of one shape: because broadcasting here is nearly always a mistake."""
    check_reduction(name, reduction)
    x = _as_tensor(x, target)
    target = _as_tensor(target, x)
    if x.shape != target.shape:
        raise ValueError(
            f"{name}: prediction of shape {x.shape} and target of shape {target.shape}; "
            "the shapes must be equal: reshape or broadcast_to one of them"
        )
    return x, target


def _as_tensor(values: Any, other: Any) -> Tensor:
    """Plain values get the floating-point dtype of the tensor `other`: a float64 model has float64 targets."""
    if isinstance(values, Tensor):
        return values
    return Tensor(values, other.dtype if isinstance(other, Tensor) and other.dtype.kind == "f" else None)


def _broadcastable(name: str, weight: Any, losses: Tensor) -> Tensor:
    """`weight` as a tensor that may be broadcast to the shape of the losses, but not they to its."""
    weight = _as_tensor(weight, losses)
    sizes = zip(reversed(weight.shape), reversed(losses.shape), strict=False)
    if weight.ndim > losses.ndim or any(own not in (1, size) for own, size in sizes):
        raise ValueError(f"{name} of shape {weight.shape} for losses {losses.shape}; it must broadcast to their shape")
    return weight


def mse_loss(x: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """(x - target)², both of one shape.

    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """
    x, target = _pair("mse_loss", x, target, reduction)
    difference = x - target
    return reduce_losses(difference * difference, reduction)


def l1_loss(x: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """|x - target|, both of one shape.

    >>> l1_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(1.)
    """
    x, target = _pair("l1_loss", x, target, reduction)
    return reduce_losses(np.abs(x - target), reduction)


def check_delta(name: str, delta: float) -> float:
    """Return `delta`, unless it is not a positive number: ValueError."""
    if not real(name, "delta", delta) > 0:
        raise ValueError(f"{name}: delta is {delta}; it must be positive")
    return delta


def huber_loss(x: Any, target: Any, reduction: Reduction = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared distance where it is at most `delta`, growing linearly beyond.

    Source: Huber 1964, Robust Estimation of a Location Parameter.

    >>> huber_loss(Tensor([0.5, 3.0]), Tensor([0.0, 0.0]), reduction="none")
    Tensor([0.125, 2.5  ])
    """
    check_delta("huber_loss", delta)
    x, target = _pair("huber_loss", x, target, reduction)
    distance = np.abs(x - target)
    near = clip(distance, high=delta)
    return reduce_losses(near * (distance - 0.5 * near), reduction)


def binary_cross_entropy(x: Any, target: Any, weight: Any = None, reduction: Reduction = "mean") -> Tensor:
    """-(target log x + (1 - target) log(1 - x)), for probabilities x; logarithms are at least -100, as in PyTorch.

    Raises ValueError for an x outside 0 to 1.

    >>> binary_cross_entropy(Tensor([0.5]), Tensor([1.0]))
    Tensor(0.6931)
    """
    x, target = _pair("binary_cross_entropy", x, target, reduction)
    if x.size and not (x.data.min() >= 0 and x.data.max() <= 1):
        raise ValueError(
            f"binary_cross_entropy: values from {x.data.min():.4g} to {x.data.max():.4g}; they must be probabilities, "
            "from 0 to 1: use binary_cross_entropy_with_logits for logits"
        )
    losses = -(target * floored_log(x) + (1 - target) * floored_log(1 - x))
    if weight is not None:
        losses = losses * _broadcastable("binary_cross_entropy: weight", weight, x)
    return reduce_losses(losses, reduction)


@primitive
def floored_log(x: Array, /) -> Array:
    """log(x), but at least -100."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(x), -100.0)


defvjp(floored_log, lambda g, out, x: g / np.maximum(x, 1e-12))


@primitive
def softplus(x: Array, /) -> Array:
    """log(1 + exp(x)), which does not overflow.

    >>> softplus(Tensor([0.0, 100.0]))
    Tensor([  0.6931, 100.    ])
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


defvjp(softplus, lambda g, out, x: g * sigmoid.lift(x))


def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: Reduction = "mean"
) -> Tensor:
    """Binary cross-entropy of sigmoid(x), exact where the sigmoid rounds to 0 or 1.

    `weight` scales the losses, `pos_weight` the part of the positive class; both broadcast against x.

    >>> binary_cross_entropy_with_logits(Tensor([0.0, 100.0]), Tensor([1.0, 1.0]))
    Tensor(0.3466)
    """
    x, target = _pair("binary_cross_entropy_with_logits", x, target, reduction)
    positive = softplus(-x)  # -log(sigmoid(x)); and -log(1 - sigmoid(x)) is x more
    if pos_weight is not None:
        pos_weight = _broadcastable("binary_cross_entropy_with_logits: pos_weight", pos_weight, x)
        positive = positive * (1 + (pos_weight - 1) * target)
    losses = (1 - target) * x + positive
    if weight is not None:
        losses = losses * _broadcastable("binary_cross_entropy_with_logits: weight", weight, x)
    return reduce_losses(losses, reduction)
