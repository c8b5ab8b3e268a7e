"""The sigmoid, and SiLU, which is x times it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import blockwise


def _sigmoid(x: Array, out: Array) -> None:
    """exp(-x) overflows to infinity, and its reciprocal is then 0, as it should be."""
    np.negative(x, out=out)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


@primitive(fused=True)
def sigmoid(x: Array, /) -> tuple[Array, None]:
    """1 / (1 + exp(-x)), with all its digits also where it is nearly 0.

    >>> sigmoid(Tensor([0.0]))
    Tensor([0.5])
    """
    x = np.asarray(x)
    return blockwise(_sigmoid, x.dtype, x), None


def _sigmoid_backward(g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any) -> tuple[Array]:
    dx = np.subtract(1, out)
    dx *= out
    dx *= g
    return (dx,)


def _sigmoid_by_parts(x: Any) -> Tensor:
    return np.tanh(x * 0.5) * 0.5 + 0.5


defvjp(sigmoid, fused=_sigmoid_backward, composition=_sigmoid_by_parts)


def _logistic(x: Array, out: Array) -> None:
    """The sigmoid as (1 + tanh(x / 2)) / 2: twice as fast, and as good as it for a factor of x."""
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5


def _silu(x: Array, out: Array) -> None:
    _logistic(x, out)
    out *= x


@primitive(fused=True)
def silu(x: Array, /) -> tuple[Array, None]:
    """x * sigmoid(x)

    >>> silu(Tensor([0.0, 20.0]))
    Tensor([ 0., 20.])
    """
    x = np.asarray(x)
    return blockwise(_silu, x.dtype, x), None


def _silu_pulled(x: Array, g: Array, out: Array) -> None:
    """g times d silu / dx = s + x s (1 - s) = s (1 + x (1 - s)), where s = sigmoid(x)."""
    s = np.empty_like(out)
    _logistic(x, s)
    np.subtract(1, s, out=out)
    out *= x
    out += 1
    out *= s
    out *= g


def _silu_backward(g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any) -> tuple[Array]:
    return (blockwise(_silu_pulled, g.dtype, np.asarray(x), g),)


def _silu_by_parts(x: Any) -> Tensor:
    return x * _sigmoid_by_parts(x)


defvjp(silu, fused=_silu_backward, composition=_silu_by_parts, keep=("inputs",))
