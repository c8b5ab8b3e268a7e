"""Lion: steps of one size, in the direction of the sign."""

from __future__ import annotations

import numpy as np

from tinytorch.tensor import Array

from .buckets import Group, State
from .optimizer import Optimizer, Parameters


class Lion(Optimizer):
    """p ← (1 - lr · weight_decay) p - lr · sign(β₁ m + (1 - β₁) g), then m ← β₂ m + (1 - β₂) g.

    It keeps one number per parameter where Adam keeps two, and needs a learning rate 3 to 10 times smaller than Adam's.

    Source: Chen et al., "Symbolic discovery of optimization algorithms" (2023), algorithm 2.

    >>> from tinytorch.layers import Parameter
    >>> p = Parameter([1.0, -2.0]); optimizer = Lion([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step(); p.data
    array([ 0.9, -1.9], dtype=float32)
    """

    decoupled = True

    def __init__(
        self, params: Parameters, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0, *, check_finite: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay}, check_finite)

    def states(self, group: Group) -> tuple[str, ...]:
        return ("m",)

    def update(self, change: Array, g: Array, state: State, scratch: Array, step: int, group: Group) -> None:
        (beta1, beta2), m = group["betas"], state["m"]
        np.multiply(m, beta1, out=change)
        np.multiply(g, 1 - beta1, out=scratch)
        change += scratch
        np.sign(change, out=change)
        change *= group["lr"]
        m *= beta2
        np.multiply(g, 1 - beta2, out=scratch)
        m += scratch
