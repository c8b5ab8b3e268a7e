"""GELU: x times the probability Φ(x) that a normal variable is below x, exact and in its tanh form.

Both have the form Φ(x) = (1 + tanh(x p(x²))) / 2 with a polynomial p. The tanh form has two terms, with errors up to
5e-4; seven terms are as exact as float32. In float64, Φ comes from the error function.
"""

from __future__ import annotations

import math
from functools import lru_cache
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


def check_approximation(approximate: str) -> str:
    """Return `approximate`; raise ValueError unless it is "none" or "tanh"."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is {approximate!r}; it must be 'none' (exact) or 'tanh'")
    return approximate


@primitive(fused=True, upcast=True)
def gelu(x: Array, /, approximate: str = "tanh") -> tuple[Array, None]:
    """x Φ(x), exact ("none") or as 0.5 x (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) ("tanh").

    Source: Hendrycks, Gimpel 2016, Gaussian Error Linear Units.

    >>> gelu(Tensor([0.0, 1.0]))
    Tensor([0.    , 0.8412])
    """
    return blockwise(_FORWARD[check_approximation(approximate)], np.asarray(x)), None


def _gelu_tanh(x: Array, out: Array) -> None:
    _cdf(x, TWO_TERMS, out)
    out *= x


def _gelu_exact(x: Array, out: Array) -> None:
    _exact_cdf(x, out)
    out *= x


_FORWARD = {"tanh": _gelu_tanh, "none": _gelu_exact}


def _exact_cdf(x: Array, out: Array) -> None:
    if out.dtype == np.float64:
        normal_cdf(x, out)
    else:
        _cdf(x.clip(-8.0, 8.0), SEVEN_TERMS, out)  # beyond, Φ is 0 or 1 in float32, and x to the 13th overflows soon


def _cdf(x: Array, terms: tuple[float, ...], out: Array) -> None:
    """Φ(x) = (1 + tanh(x p(x²))) / 2, where p has these terms."""
    half, first, second, *others = _as_arrays((0.5, *terms), out.dtype)
    square = x * x
    np.multiply(square, first, out=out)
    out += second
    for term in others:
        out *= square
        out += term
    out *= x
    np.tanh(out, out=out)
    out *= half
    out += half


@lru_cache
def _as_arrays(numbers: tuple[float, ...], dtype: np.dtype[Any]) -> list[Array]:
    """Numbers that NumPy does not have to convert at each operation: of one row that is half of the time."""
    return [np.array(number, dtype) for number in numbers]


def _backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any, approximate: str = "tanh"
) -> tuple[Array]:
    slope = _tanh_slope if approximate == "tanh" else _exact_slope

    def scaled_slope(g: Array, x: Array, out: Array) -> None:
        slope(x, out)
        out *= g

    return (blockwise(scaled_slope, g, np.asarray(x)),)


def _tanh_slope(x: Array, out: Array) -> None:
    """With s = Φ(x) = (1 + tanh u) / 2 and u = A (x + B x³): s + x s (1 - s) 2 u', where u' = A + 3 A B x²."""
    _cdf(x, TWO_TERMS, out)
    square = x * x
    square *= 6 * A * B
    square += 2 * A
    gate = 1 - out
    gate *= x  # before the square, so that the product is 0 where x² overflows
    gate *= square
    gate += 1
    out *= gate


def _exact_slope(x: Array, out: Array) -> None:
    """Φ(x) + x φ(x)"""
    _exact_cdf(x, out)
    density = x * x
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
