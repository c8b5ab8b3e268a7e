"""RMSprop."""

from __future__ import annotations

import numpy as np

from tinytorch.tensor import Array

from .buckets import Group, State
from .optimizer import Optimizer, Parameters


class RMSprop(Optimizer):
    """p ← p - lr · g / (√v + eps), where v is a running average of g².

    `centered` subtracts the square of the average gradient from v, which makes it a variance. `momentum` keeps a
    velocity of such steps. `weight_decay` adds `weight_decay · p` to the gradient.

    Source: Tieleman and Hinton, "Lecture 6.5: rmsprop" (2012); centered: Graves, "Generating sequences with recurrent
    neural networks" (2013), equations 38 to 45. The order of operations is PyTorch's.

    >>> from tinytorch.layers import Parameter
    >>> p = Parameter([1.0]); optimizer = RMSprop([p], lr=0.1, alpha=0.75)
    >>> (p * p).sum().backward()
    >>> optimizer.step(); p.data
    array([0.8], dtype=float32)
    """

    def __init__(
        self, params: Parameters, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0, momentum: float = 0.0, centered: bool = False, *, check_finite: bool = False,
    ) -> None:  # fmt: skip
        options = {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
            "momentum": momentum, "centered": centered,
        }  # fmt: skip
        super().__init__(params, options, check_finite)

    def states(self, group: Group) -> tuple[str, ...]:
        return ("v", *(["mean"] if group["centered"] else []), *(["velocity"] if group["momentum"] else []))

    def update(self, change: Array, g: Array, state: State, scratch: Array, step: int, group: Group) -> None:
        alpha, v = group["alpha"], state["v"]
        np.multiply(g, g, out=change)
        change *= 1 - alpha
        v *= alpha
        v += change
        if group["centered"]:
            mean = state["mean"]
            np.subtract(g, mean, out=change)
            change *= 1 - alpha
            mean += change
            np.multiply(mean, mean, out=change)
            np.subtract(v, change, out=change)
            np.sqrt(change, out=change)
        else:
            np.sqrt(v, out=change)
        change += group["eps"]
        np.divide(g, change, out=change)
        if group["momentum"]:
            velocity = state["velocity"]
            velocity *= group["momentum"]
            velocity += change
            np.multiply(velocity, group["lr"], out=change)
        else:
            change *= group["lr"]
