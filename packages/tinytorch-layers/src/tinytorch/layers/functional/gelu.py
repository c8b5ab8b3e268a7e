"""GELU: x times the probability that a normal variable is below x, exact and in its tanh form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import row_blocks
from .erf import erf, normal_cdf

A = math.sqrt(2 / math.pi)
B = 0.044715
DENSITY = 1 / math.sqrt(2 * math.pi)


def known_approximation(approximate: str) -> str:
    """`approximate`, unless it is neither "none" nor "tanh"."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is {approximate!r}; it must be 'none' (exact) or 'tanh'")
    return approximate


@primitive(fused=True)
def gelu(x: Array, /, approximate: str = "tanh") -> tuple[Array, None]:
    """x Φ(x), exact ("none") or as 0.5 x (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) ("tanh").

    Source: Hendrycks, Gimpel 2016, Gaussian Error Linear Units.

    >>> gelu(Tensor([0.0, 1.0]))
    Tensor([0.    , 0.8412])
    """
    known_approximation(approximate)
    out = np.empty(x.shape, x.dtype if x.dtype.kind == "f" else np.float64)
    xs, results = x.reshape(-1), out.reshape(-1)
    share = _tanh_share if approximate == "tanh" else _normal_share
    for block in row_blocks(x.size, 1):
        share(xs[block], results[block])
        results[block] *= xs[block]
    return out, None


def _tanh_share(x: Array, out: Array) -> None:
    """(1 + tanh(A x (1 + B x²))) / 2"""
    np.multiply(x, x, out=out)
    out *= A * B
    out += A
    out *= x
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5


def _normal_share(x: Array, out: Array) -> None:
    normal_cdf(x, out)


def _backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Array, approximate: str = "tanh"
) -> tuple[Array]:
    dx = np.empty(x.shape, g.dtype)
    xs, gs, results = x.reshape(-1), g.reshape(-1), dx.reshape(-1)
    slope = _tanh_slope if approximate == "tanh" else _normal_slope
    for block in row_blocks(x.size, 1):
        slope(xs[block], results[block])
        results[block] *= gs[block]
    return (dx,)


def _tanh_slope(x: Array, out: Array) -> None:
    """With s = (1 + tanh u) / 2 and u = A (x + B x³): s + x s (1 - s) 2 u', where u' = A + 3 A B x²."""
    square = np.multiply(x, x)
    np.multiply(square, A * B, out=out)
    out += A
    out *= x
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    square *= 6 * A * B
    square += 2 * A
    gate = np.subtract(1, out)
    gate *= x  # before the square, so that 0 stands where x² overflows
    gate *= square
    gate += 1
    out *= gate


def _normal_slope(x: Array, out: Array) -> None:
    """Φ(x) + x φ(x)"""
    normal_cdf(x, out)
    density = np.multiply(x, x)
    density *= -0.5
    np.exp(density, out=density)
    density *= x
    density *= DENSITY
    out += density


def _by_parts(x: Any, approximate: str = "tanh") -> Tensor:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(A * (x + B * x * x * x)))
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


defvjp(gelu, fused=_backward, composition=_by_parts)
