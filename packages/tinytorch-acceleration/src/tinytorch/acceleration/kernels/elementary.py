"""Exponentials that compile into the processor's vector instructions, which calls of the C library do not.

x = n log 2 + r with n whole and |r| <= log(2) / 2; exp(x) = 2ⁿ exp(r), and exp(r) is a polynomial, Taylor's. n is
rounded by adding a number so large that no digits behind the point are left: the sum's last bits are those of n, and
moved to where a floating-point number has its exponent they make 2ⁿ. It is applied in two halves, so that the smallest
results lose their digits step by step and the largest become infinity.

Source: Tang 1989, Table-driven implementation of the exponential function in IEEE floating-point arithmetic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..compiling import by_precision, compiled

# Numba computes with float64 as soon as one number is: every constant has the dtype of its function
f32, f64 = np.float32, np.float64

SHIFT32, SHIFT32_BITS, LOG2E32 = f32(12582912.0), np.int32(0x4B400000), f32(1 / math.log(2))
HIGH32, LOW32 = f32(0.693359375), f32(math.log(2) - 0.693359375)  # n times the first is exact
MOST32, LEAST32, ZERO32, ONE32 = f32(89.0), f32(-104.0), f32(0.0), f32(1.0)
C32 = tuple(f32(1 / math.factorial(k)) for k in range(8))

SHIFT64, SHIFT64_BITS, LOG2E64 = f64(6755399441055744.0), np.int64(0x4338000000000000), f64(1 / math.log(2))
HIGH64, LOW64 = f64(6.93147180369123816490e-01), f64(1.90821492927058770002e-10)
MOST64, LEAST64, ONE64 = f64(710.0), f64(-746.0), f64(1.0)
C64 = tuple(f64(1 / math.factorial(k)) for k in range(14))


@compiled
def exp32(x: Any) -> Any:
    """exp(x) in float32, within 1 unit in the last place."""
    x = LEAST32 if x < LEAST32 else x
    x = MOST32 if x > MOST32 else x  # NaN stays
    t = x * LOG2E32 + SHIFT32
    n = t - SHIFT32
    r = (x - n * HIGH32) - n * LOW32
    p = C32[7]
    p = p * r + C32[6]
    p = p * r + C32[5]
    p = p * r + C32[4]
    p = p * r + C32[3]
    p = p * r + C32[2]
    p = p * r + ONE32
    p = p * r + ONE32
    whole = np.int32(np.float32(t).view(np.int32) - SHIFT32_BITS)
    half = np.int32(whole >> 1)
    first = np.int32((half + 127) << 23).view(np.float32)  # 2 to the half
    second = np.int32((whole - half + 127) << 23).view(np.float32)
    return p * first * second


@compiled
def exp64(x: Any) -> Any:
    """exp(x) in float64, within 1 unit in the last place."""
    x = LEAST64 if x < LEAST64 else x
    x = MOST64 if x > MOST64 else x  # NaN stays
    t = x * LOG2E64 + SHIFT64
    n = t - SHIFT64
    r = (x - n * HIGH64) - n * LOW64
    p = C64[13]
    p = p * r + C64[12]
    p = p * r + C64[11]
    p = p * r + C64[10]
    p = p * r + C64[9]
    p = p * r + C64[8]
    p = p * r + C64[7]
    p = p * r + C64[6]
    p = p * r + C64[5]
    p = p * r + C64[4]
    p = p * r + C64[3]
    p = p * r + C64[2]
    p = p * r + ONE64
    p = p * r + ONE64
    whole = np.float64(t).view(np.int64) - SHIFT64_BITS
    half = whole >> 1
    first = np.int64((half + 1023) << 52).view(np.float64)
    second = np.int64((whole - half + 1023) << 52).view(np.float64)
    return p * first * second


@by_precision(exp32, exp64)
def exp(x: Any) -> Any:
    """exp(x) in the precision of x."""


@compiled
def order32(x: Any) -> Any:
    bits = np.float32(x).view(np.int32)
    return np.int32(bits ^ ((bits >> 31) & 0x7FFFFFFF))


@compiled
def order64(x: Any) -> Any:
    bits = np.float64(x).view(np.int64)
    return np.int64(bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF))


@by_precision(order32, order64)
def order(x: Any) -> Any:
    """An integer that is larger for a larger number: its bits, of negative numbers all but the sign turned around."""


@compiled
def number32(key: Any) -> Any:
    return np.int32(key ^ ((key >> 31) & 0x7FFFFFFF)).view(np.float32)


@compiled
def number64(key: Any) -> Any:
    return np.int64(key ^ ((key >> 63) & 0x7FFFFFFFFFFFFFFF)).view(np.float64)


@by_precision(number32, number64)
def number(key: Any) -> Any:
    """The number that has this `order`."""


@compiled
def largest(row: Any) -> Any:
    """The largest number of a row, in vector instructions, which comparing numbers that may be NaN is not.

    A row with a NaN gives a NaN, or any of its numbers.
    """
    top = order(row[0])
    for j in range(1, row.size):
        key = order(row[j])
        top = key if key > top else top
    return number(top)
