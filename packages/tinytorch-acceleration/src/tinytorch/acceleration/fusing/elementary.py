"""Logarithm, tanh and error function as plain arithmetic, so that a compiled loop computes many at once; and ranks.

Called from the C library they are computed one by one, which takes several times as long. Each is a polynomial on a
short interval and exact steps that lead there; the coefficients interpolate at Chebyshev points. They are within 3
units in the last place of float32. In float64 the C library's are called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiling import Compiled, compiled
from ..kernels.elementary import exp32

float32, float64, int32, int64 = np.float32, np.float64, np.int32, np.int64

# log(2) in two parts; the first has so few digits that its product with a whole number is exact
HIGH, LOW = 0.693359375, math.log(2.0) - 0.693359375
SIGN = np.int32(np.iinfo(np.int32).min)


class Inlined(Compiled):
    """A function that is always inlined, however long: a loop around a call is not vectorized."""

    def _build(self, keep: bool) -> Any:
        dispatcher = super()._build(keep)
        dispatcher.targetoptions["forceinline"] = True
        return dispatcher


def inlined(function: Callable[..., Any]) -> Inlined:
    """Compile a function of numbers for use in loops."""
    return Inlined(function, reassociate=False)


@inlined
def log32(x: Any) -> Any:
    """n log(2) + log(m) with x = 2^n m and m near 1, where log(m) = 2 atanh(s) of s = (m - 1) / (m + 1)."""
    small = x < float32(1.1754944e-38)
    y = x * float32(8388608.0) if small else x  # numbers with fewer digits become normal ones
    bits = float32(y).view(int32) - int32(0x3F3504F3)  # which is the square root of 1/2
    n = float32(bits >> int32(23)) - (float32(23.0) if small else float32(0.0))
    m = int32((bits & int32(0x007FFFFF)) + int32(0x3F3504F3)).view(float32)
    s = (m - float32(1.0)) / (m + float32(1.0))
    z = s * s
    q = float32(0.23349964588715819) * z + float32(0.285500982077424)
    q = q * z + float32(0.40000128263368034)
    q = q * z + float32(0.6666666654657608)
    out = n * float32(HIGH) + (n * float32(LOW) + (s * z * q + float32(2.0) * s))
    out = x if x == float32(np.inf) else out
    out = float32(-np.inf) if x == float32(0.0) else out
    return out if x >= float32(0.0) else float32(np.nan)


@inlined
def signed32(size: Any, x: Any) -> Any:
    """A number that is not negative, with the sign of x."""
    return int32(float32(size).view(int32) | (float32(x).view(int32) & SIGN)).view(float32)


@inlined
def tanh32(x: Any) -> Any:
    """1 - 2 / (e^2|x| + 1) with the sign of x, and an odd polynomial where that would lose digits."""
    a = abs(x)
    far = float32(1.0) - float32(2.0) / (exp32(float32(2.0) * min(a, float32(10.0))) + float32(1.0))
    z = min(a * a, float32(0.4))
    p = float32(-0.0060451650965224) * z + float32(0.020961329108563815)
    p = p * z + float32(-0.053843263175278766)
    p = p * z + float32(0.13332718845589667)
    p = p * z + float32(-0.3333332843331859)
    near = a + a * z * p
    out = signed32(near if a < float32(0.625) else far, x)
    return x if x != x else out


@inlined
def erf32(x: Any) -> Any:
    """An odd polynomial up to 1; beyond, 1 - e^(-x²) p(1 / (|x| + 2)) with the sign of x."""
    a = min(float32(4.0), abs(x))  # beyond, it is 1
    z = min(float32(1.0), a * a)
    p = float32(7.875875062685488e-05) * z + float32(-0.000801686428716587)
    p = p * z + float32(0.005189087423433974)
    p = p * z + float32(-0.026854212010626412)
    p = p * z + float32(0.11283594715160218)
    p = p * z + float32(-0.37612626666720334)
    p = p * z + float32(1.1283791658483509)
    near = a * p
    b = max(float32(1.0), a)
    t = float32(1.0) / (b + float32(2.0))
    q = float32(15.46911144488589) * t + float32(-30.497617560614998)
    q = q * t + float32(18.28048562598341)
    q = q * t + float32(-1.7633327048911012)
    q = q * t + float32(2.808242585430308)
    q = q * t + float32(1.0350054655420764)
    q = q * t + float32(0.5701232402311412)
    q = q * t + float32(-0.00016423638708161766)
    far = float32(1.0) - exp32(-b * b) * q
    inner = float32(a < float32(1.0))  # by products with 0 and 1: of a choice between the two LLVM makes a jump
    out = signed32(inner * near + (float32(1.0) - inner) * far, x)
    return x if x != x else out


@compiled(reassociate=True)
def plus(total: Any, term: Any) -> Any:
    """A sum whose terms may be added in another order: compiled so, a loop keeps several sums and adds them up last."""
    return total + term


@inlined
def rank32(x: Any) -> Any:
    """An integer that orders as x does, NaN above all: the largest of integers is found many at a time."""
    bits = float32(x).view(int32)
    ordered = bits ^ ((bits >> int32(31)) & int32(0x7FFFFFFF))
    return int32(0x7FC00000) if x != x else int32(ordered)


@inlined
def rank64(x: Any) -> Any:
    """As `rank32`, of float64."""
    bits = float64(x).view(int64)
    ordered = bits ^ ((bits >> int64(63)) & int64(0x7FFFFFFFFFFFFFFF))
    return int64(0x7FF8000000000000) if x != x else int64(ordered)


@inlined
def value32(rank: Any) -> Any:
    """The number whose rank this is."""
    return int32(rank ^ ((rank >> int32(31)) & int32(0x7FFFFFFF))).view(float32)


@inlined
def value64(rank: Any) -> Any:
    """The number whose rank this is."""
    return int64(rank ^ ((rank >> int64(63)) & int64(0x7FFFFFFFFFFFFFFF))).view(float64)
