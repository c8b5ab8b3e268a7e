"""The sigmoid, and SiLU, which is x times it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import row_blocks


def logistic(x: Array, out: Array) -> Array:
    """1 / (1 + exp(-x)) as (1 + tanh(x / 2)) / 2, which cannot overflow, written to `out`."""
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out


def _like(x: Array) -> Array:
    return np.empty(x.shape, x.dtype if x.dtype.kind == "f" else np.float64)


@primitive(fused=True)
def sigmoid(x: Array, /) -> tuple[Array, None]:
    """1 / (1 + exp(-x))

    >>> sigmoid(Tensor([0.0]))
    Tensor([0.5])
    """
    x = np.asarray(x)
    return logistic(x, _like(x)), None


def _sigmoid_backward(g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any) -> tuple[Array]:
    dx = np.subtract(1, out)
    dx *= out
    dx *= g
    return (dx,)


def _sigmoid_by_parts(x: Any) -> Tensor:
    return np.tanh(x * 0.5) * 0.5 + 0.5


defvjp(sigmoid, fused=_sigmoid_backward, composition=_sigmoid_by_parts)


@primitive(fused=True)
def silu(x: Array, /) -> tuple[Array, None]:
    """x * sigmoid(x)

    >>> silu(Tensor([0.0, 20.0]))
    Tensor([ 0., 20.])
    """
    x = np.asarray(x)
    out = _like(x)
    xs, results = x.reshape(-1), out.reshape(-1)
    for block in row_blocks(x.size, 1):
        logistic(xs[block], results[block])
        results[block] *= xs[block]
    return out, None


def _silu_backward(g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any) -> tuple[Array]:
    """d silu / dx = s + x s (1 - s) = s (1 + x (1 - s)), where s = sigmoid(x)."""
    x = np.asarray(x)
    dx = np.empty(x.shape, g.dtype)
    xs, gs, results = x.reshape(-1), g.reshape(-1), dx.reshape(-1)
    for block in row_blocks(x.size, 1):
        slope = results[block]
        s = logistic(xs[block], np.empty_like(slope))
        np.subtract(1, s, out=slope)
        slope *= xs[block]
        slope += 1
        slope *= s
        slope *= gs[block]
    return (dx,)


def _silu_by_parts(x: Any) -> Tensor:
    return x * _sigmoid_by_parts(x)


defvjp(silu, fused=_silu_backward, composition=_silu_by_parts, keep=("inputs",))
