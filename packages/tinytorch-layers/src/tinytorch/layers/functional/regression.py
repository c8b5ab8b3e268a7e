"""Losses of numbers against numbers, and of probabilities against probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive, where

from .reduction import Reduction, checked, reduced
from .sigmoids import sigmoid


def _pair(name: str, x: Any, target: Any, reduction: str) -> tuple[Tensor, Tensor]:
    """Both as tensors of one shape: broadcasting here is nearly always a mistake."""
    checked(name, reduction)
    x = x if isinstance(x, Tensor) else Tensor(x)
    target = target if isinstance(target, Tensor) else Tensor(target)
    if x.shape != target.shape:
        raise ValueError(
            f"{name}: prediction of shape {x.shape} and target of shape {target.shape}; "
            "the shapes must be equal: reshape or broadcast_to one of them"
        )
    return x, target


def mse_loss(x: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """(x - target)², both of one shape.

    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """
    x, target = _pair("mse_loss", x, target, reduction)
    difference = x - target
    return reduced(difference * difference, reduction)


def l1_loss(x: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """|x - target|, both of one shape."""
    x, target = _pair("l1_loss", x, target, reduction)
    return reduced(np.abs(x - target), reduction)


def huber_loss(x: Any, target: Any, reduction: Reduction = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared distance where it is at most `delta`, growing linearly beyond.

    Source: Huber 1964, Robust Estimation of a Location Parameter.
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta is {delta}; it must be positive")
    x, target = _pair("huber_loss", x, target, reduction)
    difference = x - target
    distance = np.abs(difference)
    near, far = 0.5 * difference * difference, delta * (distance - 0.5 * delta)
    return reduced(where(distance <= delta, near, far), reduction)


def binary_cross_entropy(x: Any, target: Any, weight: Any = None, reduction: Reduction = "mean") -> Tensor:
    """-(target log x + (1 - target) log(1 - x)), for probabilities x; logarithms are kept above -100, as in PyTorch.

    Raises ValueError for an x outside 0 to 1.
    """
    x, target = _pair("binary_cross_entropy", x, target, reduction)
    if x.size and not (x.data.min() >= 0 and x.data.max() <= 1):
        raise ValueError(
            f"binary_cross_entropy: values from {x.data.min():.4g} to {x.data.max():.4g}; they must be probabilities, "
            "from 0 to 1: use binary_cross_entropy_with_logits for logits"
        )
    losses = -(target * floored_log(x) + (1 - target) * floored_log(1 - x))
    return reduced(losses if weight is None else losses * weight, reduction)


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
    """
    x, target = _pair("binary_cross_entropy_with_logits", x, target, reduction)
    positive = softplus(-x)  # -log(sigmoid(x)); and -log(1 - sigmoid(x)) is x more
    if pos_weight is not None:
        positive = positive * (1 + (pos_weight - 1) * target)
    losses = (1 - target) * x + positive
    return reduced(losses if weight is None else losses * weight, reduction)
