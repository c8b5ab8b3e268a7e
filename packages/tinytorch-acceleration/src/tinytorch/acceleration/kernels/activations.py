"""GELU, SiLU and the sigmoid: one pass over the numbers where NumPy makes one for each operation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.layers import functional as F
from tinytorch.tensor import Array

from ..compiling import Compiled, by_precision, compiled
from ..serving import Unserved, serves, serves_gradient
from .elementary import exp
from .served import BLOCK, unserved

A, B = math.sqrt(2 / math.pi), 0.044715


@compiled
def logistic32(x: Any) -> Any:
    return np.float32(1) / (np.float32(1) + exp(-x))


@compiled
def logistic64(x: Any) -> Any:
    return 1 / (1 + exp(-x))


@by_precision(logistic32, logistic64)
def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x)), in the precision of x."""


@compiled
def gelu_rows(start: int, stop: int, x: Array, out: Array) -> None:
    """x Φ(x) with Φ(x) = (1 + tanh u) / 2 = logistic(2 u) and u = A (x + B x³)."""
    real = x.dtype.type
    x, out, a, ab = x[start:stop], out[start:stop], real(2 * A), real(2 * A * B)
    for i in range(x.size):
        v = x[i]
        out[i] = v * logistic(v * (a + ab * v * v))


@compiled
def gelu_slopes(start: int, stop: int, g: Array, x: Array, out: Array) -> None:
    """g (s + x s (1 - s) 2 u') with s = Φ(x) and 2 u' = 2 A + 6 A B x²."""
    real = x.dtype.type
    g, x, out = g[start:stop], x[start:stop], out[start:stop]
    one, a, ab, ab3 = real(1), real(2 * A), real(2 * A * B), real(6 * A * B)
    for i in range(x.size):
        v = x[i]
        e = exp(-v * (a + ab * v * v))
        s = one / (one + e)
        share = v * s * (e * s if e < one else one - s)  # 0 where v² overflows
        out[i] = g[i] * (s + share * a + (share * v) * (ab3 * v))


@compiled
def silu_rows(start: int, stop: int, x: Array, out: Array) -> None:
    """x logistic(x)"""
    x, out = x[start:stop], out[start:stop]
    for i in range(x.size):
        out[i] = x[i] * logistic(x[i])


@compiled
def silu_slopes(start: int, stop: int, g: Array, x: Array, out: Array) -> None:
    """g s (1 + x (1 - s)) with s = logistic(x)."""
    one = x.dtype.type(1)
    g, x, out = g[start:stop], x[start:stop], out[start:stop]
    for i in range(x.size):
        e = exp(-x[i])
        s = one / (one + e)
        out[i] = g[i] * (s * (one + x[i] * (e * s if e < one else one - s)))


@compiled
def sigmoid_rows(start: int, stop: int, x: Array, out: Array) -> None:
    x, out = x[start:stop], out[start:stop]
    for i in range(x.size):
        out[i] = logistic(x[i])


@compiled
def sigmoid_slopes(start: int, stop: int, g: Array, s: Array, out: Array) -> None:
    one = s.dtype.type(1)
    g, s, out = g[start:stop], s[start:stop], out[start:stop]
    for i in range(s.size):
        out[i] = g[i] * (s[i] * (one - s[i]))


def map_numbers(kernel: Compiled, *inputs: Array) -> Array | Unserved:
    """A new array with what `kernel` makes of each number of the inputs, which have one shape."""
    reason = unserved(*inputs)
    if reason is not None:
        return reason
    out = np.empty(inputs[0].shape, inputs[0].dtype)
    kernel.over(out.size, BLOCK, *[x.reshape(-1) for x in inputs], out.reshape(-1))
    return out


def saving_nothing(out: Array | Unserved) -> tuple[Array, None] | Unserved:
    return out if isinstance(out, Unserved) else (out, None)


def one_gradient(out: Array | Unserved) -> tuple[Array] | Unserved:
    return out if isinstance(out, Unserved) else (out,)


@serves(F.gelu)
def gelu(x: Any, approximate: str = "tanh") -> Any:
    if approximate != "tanh":
        return Unserved(f"approximate {approximate!r}")
    return saving_nothing(map_numbers(gelu_rows, x))


@serves_gradient(F.gelu)
def gelu_backward(g: Array, out: Any, saved: None, needs: Any, x: Array, approximate: str = "tanh") -> Any:
    if approximate != "tanh":
        return Unserved(f"approximate {approximate!r}")
    return one_gradient(map_numbers(gelu_slopes, g, x))


@serves(F.silu)
def silu(x: Any) -> Any:
    return saving_nothing(map_numbers(silu_rows, x))


@serves_gradient(F.silu)
def silu_backward(g: Array, out: Any, saved: None, needs: Any, x: Array) -> Any:
    return one_gradient(map_numbers(silu_slopes, g, x))


@serves(F.sigmoid)
def sigmoid(x: Any) -> Any:
    return saving_nothing(map_numbers(sigmoid_rows, x))


@serves_gradient(F.sigmoid)
def sigmoid_backward(g: Array, out: Array, saved: None, needs: Any, x: Any) -> Any:
    return one_gradient(map_numbers(sigmoid_slopes, g, out))
