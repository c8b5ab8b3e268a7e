"""Adam, and AdamW with its decoupled weight decay."""

from __future__ import annotations

from math import sqrt

import numpy as np

from tinytorch.tensor import Array

from .buckets import Group, State
from .optimizer import Optimizer, Parameters


class Adam(Optimizer):
    """p ← p - lr · m̂ / (√v̂ + eps): a step against the mean gradient, divided by its root mean square.

    m and v are running averages of g and g², of which each step keeps the fractions `betas`; m̂ and v̂ are corrected for
    their start at zero. `weight_decay` adds `weight_decay · p` to the gradient. `amsgrad` divides by the
    largest v so far.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1; for amsgrad Reddi et al.,
    "On the convergence of Adam and beyond" (2018), algorithm 2.

    >>> from tinytorch.layers import Parameter
    >>> p = Parameter([1.0, 2.0]); optimizer = Adam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step(); p.data.round(3)
    array([0.9, 1.9], dtype=float32)
    """

    def __init__(
        self, params: Parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, amsgrad: bool = False, *, check_finite: bool = False,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, options, check_finite)

    def states(self, group: Group) -> tuple[str, ...]:
        return ("m", "v", "v_max") if group["amsgrad"] else ("m", "v")

    def update(self, change: Array, g: Array, state: State, scratch: Array, step: int, group: Group) -> None:
        beta1, beta2 = group["betas"]
        m, v = state["m"], state["v"]
        np.subtract(g, m, out=change)
        change *= 1 - beta1
        m += change  # m + (1 - beta1) (g - m)
        np.multiply(g, g, out=change)
        change *= 1 - beta2
        v *= beta2
        v += change
        if group["amsgrad"]:
            v = np.maximum(state["v_max"], v, out=state["v_max"])
        # the corrections of both averages are numbers: multiplied first, they cost no pass over the arrays
        shrink = sqrt(1 - beta2**step)
        np.sqrt(v, out=change)
        change += group["eps"] * shrink
        np.divide(m, change, out=change)
        change *= group["lr"] * shrink / (1 - beta1**step)


class AdamW(Adam):
    """Adam with decoupled weight decay: it shrinks the parameters, p ← (1 - lr · weight_decay) p, not the gradient.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.

    >>> from tinytorch.layers import Parameter
    >>> p = Parameter([1.0, 2.0]); optimizer = AdamW([p], lr=0.1, weight_decay=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step(); p.data.round(3)
    array([0.85, 1.8 ], dtype=float32)
    """

    decoupled = True

    def __init__(
        self, params: Parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, check_finite: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, check_finite=check_finite)
