"""GELU: x times the probability Φ(x) that a normal variable is below x, exact and in its tanh form.

Both have the form Φ(x) = (1 + tanh(x p(x²))) / 2 with a polynomial p. The tanh form has two terms of it, which are off
by up to 5e-4; seven terms are as exact as float32 is. float64 takes Φ from the error function.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import blockwise
from .erf import erf, normal_cdf

A = math.sqrt(2 / math.pi)
B = 0.044715
DENSITY = 1 / math.sqrt(2 * math.pi)

# of p, highest power first; the seven are fitted to atanh(erf(x / sqrt(2))) / x, and Φ is then within 2e-7
TWO_TERMS: tuple[float, ...] = (A * B, A)
SEVEN_TERMS: tuple[float, ...] = (
    1.8094246025555205e-09, -1.33649654882578e-07, 3.973159653057439e-06, -5.5278296461020346e-05,
    -3.295349741080564e-05, 0.0363339094821262, 0.7978844934199975,
)  # fmt: skip


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
    x = np.asarray(x)

    def gelu_of(x: Array, out: Array) -> None:
        _below(x, out, approximate)
        out *= x

    return blockwise(gelu_of, x.dtype, x), None


def _below(x: Array, out: Array, approximate: str) -> None:
    """Φ(x), written to `out`."""
    if approximate == "none" and out.dtype == np.float64:
        return normal_cdf(x, out)
    terms = TWO_TERMS
    if approximate == "none":
        terms, x = SEVEN_TERMS, x.clip(-8.0, 8.0)  # beyond, Φ is 0 or 1 in float32, and x to the 13th overflows soon
    square = np.multiply(x, x)
    np.multiply(square, terms[0], out=out)
    out += terms[1]
    for term in terms[2:]:
        out *= square
        out += term
    out *= x
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return None


def _backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any, approximate: str = "tanh"
) -> tuple[Array]:
    slope = _tanh_slope if approximate == "tanh" else _normal_slope

    def pulled(x: Array, g: Array, out: Array) -> None:
        slope(x, out)
        out *= g

    return (blockwise(pulled, g.dtype, np.asarray(x), g),)


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
    _below(x, out, "none")
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


defvjp(gelu, fused=_backward, composition=_by_parts, keep=("inputs",))
