"""The sigmoid, and SiLU, which is x times it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import row_blocks


def logistic(x: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-x)) as (1 + tanh(x / 2)) / 2, which cannot overflow."""
    out = np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out


@primitive(fused=True)
def sigmoid(x: Array, /) -> tuple[Array, None]:
    """1 / (1 + exp(-x))

    >>> sigmoid(Tensor([0.0]))
    Tensor([0.5])
    """
    return logistic(x), None


def _sigmoid_backward(g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Array) -> tuple[Array]:
    dx = 1 - out
    dx *= out
    dx *= g
    return (dx,)


defvjp(sigmoid, fused=_sigmoid_backward, composition=lambda x: np.tanh(x * 0.5) * 0.5 + 0.5)


@primitive(fused=True)
def silu(x: Array, /) -> tuple[Array, None]:
    """x * sigmoid(x)

    >>> silu(Tensor([0.0, 20.0]))
    Tensor([ 0., 20.])
    """
    out = np.empty(x.shape, x.dtype if x.dtype.kind == "f" else np.float64)
    rows, results = x.reshape(-1), out.reshape(-1)
    for block in row_blocks(x.size, 1):
        logistic(rows[block], out=results[block])
        results[block] *= rows[block]
    return out, None


def _silu_backward(g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Array) -> tuple[Array]:
    """d silu / dx = s + x s (1 - s) = s (1 + x (1 - s)), where s = sigmoid(x)."""
    dx = np.empty(x.shape, g.dtype)
    xs, gs, results = x.reshape(-1), g.reshape(-1), dx.reshape(-1)
    for block in row_blocks(x.size, 1):
        s, slope = logistic(xs[block]), results[block]
        np.subtract(1, s, out=slope)
        slope *= xs[block]
        slope += 1
        slope *= s
        slope *= gs[block]
    return (dx,)


def _silu_by_parts(x: Any) -> Tensor:
    return x * (np.tanh(x * 0.5) * 0.5 + 0.5)


defvjp(silu, fused=_silu_backward, composition=_silu_by_parts)
