"""The sigmoid, and SiLU, which is x times it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import blockwise


def _denominator(x: Array, out: Array) -> None:
    """1 + exp(-x); infinity, where that overflows, has the right reciprocal: 0."""
    np.negative(x, out=out)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1


def _sigmoid(x: Array, out: Array) -> None:
    _denominator(x, out)
    np.reciprocal(out, out=out)


@primitive(fused=True, upcast=True)
def sigmoid(x: Array, /) -> tuple[Array, None]:
    """1 / (1 + exp(-x)), with all its digits also where it is nearly 0.

    >>> sigmoid(Tensor([0.0]))
    Tensor([0.5])
    """
    return blockwise(_sigmoid, np.asarray(x)), None


def _sigmoid_backward(g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any) -> tuple[Array]:
    dx = np.subtract(1, out)
    dx *= out
    dx *= g
    return (dx,)


def _sigmoid_by_parts(x: Any) -> Tensor:
    return np.tanh(x * 0.5) * 0.5 + 0.5


defvjp(sigmoid, fused=_sigmoid_backward, composition=_sigmoid_by_parts)


def _silu(x: Array, out: Array) -> None:
    _denominator(x, out)
    np.divide(x, out, out=out)


@primitive(fused=True, upcast=True)
def silu(x: Array, /) -> tuple[Array, None]:
    """x * sigmoid(x), with all its digits also where it is nearly 0.

    >>> silu(Tensor([0.0, 20.0]))
    Tensor([ 0., 20.])
    """
    return blockwise(_silu, np.asarray(x)), None


def _silu_slope(g: Array, x: Array, out: Array) -> None:
    """g times d silu / dx = s + x s (1 - s) = s (1 + x (1 - s)), where s = sigmoid(x)."""
    s = np.empty_like(out)
    _sigmoid(x, s)
    np.subtract(1, s, out=out)
    out *= x
    out += 1
    out *= s
    out *= g


def _silu_backward(g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any) -> tuple[Array]:
    return (blockwise(_silu_slope, g, np.asarray(x)),)


def _silu_by_parts(x: Any) -> Tensor:
    return x * _sigmoid_by_parts(x)


defvjp(silu, fused=_silu_backward, composition=_silu_by_parts, keep=("inputs",))
