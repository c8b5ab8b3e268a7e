"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

import numpy as np

from tinytorch.tensor import Array

from .buckets import Group, State
from .optimizer import Optimizer, Parameters


class SGD(Optimizer):
    """p ← p - lr · v, where the velocity v ← momentum · v + (1 - dampening) · g starts as the first gradient g.

    `nesterov` looks ahead and uses g + momentum · v. `weight_decay` adds `weight_decay · p` to the gradient.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013), in
    PyTorch's form.

    >>> from tinytorch.layers import Parameter
    >>> p = Parameter([1.0]); optimizer = SGD([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step(); p.data
    array([0.8], dtype=float32)
    """

    def __init__(
        self, params: Parameters, lr: float = 1e-3, momentum: float = 0.0, nesterov: bool = False,
        weight_decay: float = 0.0, dampening: float = 0.0, *, check_finite: bool = False,
    ) -> None:  # fmt: skip
        options = {
            "lr": lr, "momentum": momentum, "nesterov": nesterov,
            "weight_decay": weight_decay, "dampening": dampening,
        }  # fmt: skip
        super().__init__(params, options, check_finite)

    def validate(self, group: Group) -> None:
        super().validate(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(f"{self.kind}: nesterov needs a momentum above 0 and no dampening")

    def states(self, group: Group) -> tuple[str, ...]:
        return ("velocity",) if group["momentum"] else ()

    def update(self, change: Array, g: Array, state: State, scratch: Array, step: int, group: Group) -> None:
        momentum = group["momentum"]
        if momentum:
            velocity = state["velocity"]
            if step == 1:
                np.copyto(velocity, g)
            else:
                velocity *= momentum
                np.multiply(g, 1 - group["dampening"], out=change)
                velocity += change
            if group["nesterov"]:
                np.multiply(velocity, momentum, out=change)
                change += g
                g = change
            else:
                g = velocity
        np.multiply(g, group["lr"], out=change)
