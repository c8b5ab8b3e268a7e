"""Muon: the momentum of a matrix is made orthogonal before it is applied."""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np

from tinytorch.tensor import Array, check_int

from .buckets import Group, Memory, State
from .optimizer import Optimizer, Parameters


class Muon(Optimizer):
    """For the matrices inside a network: p ← (1 - lr · weight_decay) p - lr · scale · orthogonal(momentum of g).

    `orthogonalize` brings all singular values of the momentum near 1. `scale` is √max(1, out / in) with
    `adjust="original"`, or 0.2 · √max(in, out) with `"match_rms_adamw"`, which allows the learning rates of AdamW.
    Leave embeddings, biases and the output layer to AdamW.

    Matrices are (in, out), as `Linear.weight` is. Raises ValueError for parameters that are not matrices.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the second scale: Liu et
    al., "Muon is scalable for LLM training" (2025), equation 4. Iterations run in the parameter's own precision.

    >>> from tinytorch.layers import Parameter
    >>> p = Parameter(np.eye(3)); optimizer = Muon([p], lr=0.1, weight_decay=0)
    >>> (p * p).sum().backward()
    >>> optimizer.step(); bool(np.all(np.diag(p.data) < 0.95))
    True
    """

    whole = True
    decoupled = True

    def __init__(
        self, params: Parameters, lr: float = 1e-3, momentum: float = 0.95, nesterov: bool = True,
        weight_decay: float = 0.1, adjust: Literal["original", "match_rms_adamw"] = "original",
        ns_steps: int = 5, *, check_finite: bool = False,
    ) -> None:  # fmt: skip
        options = {
            "lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay,
            "adjust": adjust, "ns_steps": ns_steps,
        }  # fmt: skip
        super().__init__(params, options, check_finite)

    def validate(self, group: Group) -> None:
        super().validate(group)
        check_int(self.kind, "ns_steps", group["ns_steps"])
        if group["adjust"] not in ("original", "match_rms_adamw"):
            raise ValueError(f"{self.kind}: adjust={group['adjust']!r}; it is 'original' or 'match_rms_adamw'")

    def check_params(self, memory: Memory) -> None:
        for member, shape in enumerate(memory.shapes):
            if len(shape) != 2:
                label = memory.label(member)
                raise ValueError(f"{self.kind}: {label} has shape {shape}; it optimizes matrices, give AdamW the rest")

    def states(self, group: Group) -> tuple[str, ...]:
        return ("momentum",)

    def update(self, change: Array, g: Array, state: State, scratch: Array, step: int, group: Group) -> None:
        momentum, mean = group["momentum"], state["momentum"]
        np.subtract(g, mean, out=change)
        change *= 1 - momentum
        mean += change
        ahead = mean
        if group["nesterov"]:
            ahead = np.subtract(mean, g, out=scratch)
            ahead *= momentum
            ahead += g
        rows, columns = g.shape
        longest = 0.2 * sqrt(max(rows, columns))
        scale = longest if group["adjust"] == "match_rms_adamw" else sqrt(max(1.0, columns / rows))
        np.multiply(orthogonalize(ahead, group["ns_steps"]), group["lr"] * scale, out=change)


def orthogonalize(matrix: Array, steps: int = 5, eps: float = 1e-7) -> Array:
    """A matrix with the singular vectors of `matrix`, (n, m), and singular values between about 0.7 and 1.2.

    Newton-Schulz iteration with an odd polynomial of degree 5, as steep as possible at 0: small singular values grow
    fast, and none needs to reach 1 exactly.

    Source: Jordan et al. (2024), the coefficients too.

    >>> u = orthogonalize(np.array([[3.0, 0.0], [0.0, 0.5]]))
    >>> bool(np.all((np.diag(u) > 0.6) & (np.diag(u) < 1.3)))
    True
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / max(float(np.linalg.norm(x)), eps)
    for _ in range(steps):
        gram = x @ x.T  # (n, n), the smaller one
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if tall else x
