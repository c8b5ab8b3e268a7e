"""Products with codes of 8 and 4 bits for one token, or a few, as operations of programs (`tinytorch.acceleration`).

The codes become float32 in the registers, where they are multiplied: a weight costs the memory that its code takes.
Arguments are as in `tinytorch.acceleration.operations`. Groups of codes that share bytes have an even size.

Bytes of two codes are split once for all rows, in x and not in the weight: low x₀ + high x₁ with byte = low + 16 high
is low (x₀ - x₁ / 16) + byte x₁ / 16, which needs no shift. Zero points are taken off at the end, as scale times zero
point times the sum of x in the group.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.acceleration import compiled
from tinytorch.acceleration.operations import activate, dot
from tinytorch.acceleration.vectors import (
    WIDTH,
    byte,
    integer,
    load,
    load_bytes,
    load_nibbles,
    multiply_add,
    number,
    plus,
    put,
    splat,
    total,
)  # fmt: skip

from .packing import MIDDLE

ZERO, SIXTEENTH, HALF_RANGE = np.float32(0), np.float32(1 / 16), np.float32(MIDDLE)
STEP = 2 * WIDTH


@compiled
def split(start: Any, stop: Any, a: Any) -> Any:
    """Rows of x as the products with packed codes read them, and the sums of their groups.

    Arguments: x (rows, n), even (rows, n / 2) or 0, odd (rows, n / 2), sums (rows, groups), n, groups.
    """
    n, groups = integer(a, 4), integer(a, 5)
    size = n // groups
    for r in range(start, stop):
        x, even, odd = integer(a, 0) + 4 * r * n, integer(a, 1) + 2 * r * n, integer(a, 2) + 2 * r * n
        for g in range(groups):
            value = ZERO
            for i in range(g * size, (g + 1) * size):
                value += number(x, i)
            put(integer(a, 3), r * groups + g, value)
        if integer(a, 1):
            for i in range(n // 2):
                high = number(x, 2 * i + 1) * SIXTEENTH
                put(odd, i, high)
                put(even, i, number(x, 2 * i) - high)


@compiled
def byte_rows(start: Any, stop: Any, a: Any) -> Any:
    """Columns of `out = f(x @ weight.T + bias)`, or of `out += ...`, for a weight of int8 codes (m, n).

    Arguments: x (rows, n), weight, scale (m, groups), zero point or 0, sums of the groups of x (rows, groups), bias or
    0, out (rows, m), rows, n, m, groups, whether to add, and which activation f is.
    """
    x, weight, scale, sums = integer(a, 0), integer(a, 1), integer(a, 2), integer(a, 4)
    count, n, groups = integer(a, 7), integer(a, 8), integer(a, 10)
    for first in range(start, stop, 2):
        second = min(first + 1, stop - 1)
        for r in range(count):
            s, t = two_byte_rows(x + 4 * r * n, weight, scale, first, second, n, groups)
            if integer(a, 3):
                s -= zero_sum(scale, integer(a, 3), sums + 4 * r * groups, first, groups, 0)
                t -= zero_sum(scale, integer(a, 3), sums + 4 * r * groups, second, groups, 0)
            finish(a, r, first, s)
            if second > first:
                finish(a, r, second, t)
    for r in range(count):
        activate(integer(a, 12), start, stop, integer(a, 6) + 4 * r * integer(a, 9))


@compiled
def nibble_rows(start: Any, stop: Any, a: Any) -> Any:
    """The same for a weight of two codes in each byte, (m, n / 2) uint8, and x that was `split`.

    Arguments: even (rows, n / 2), weight, scale, zero point or 0, sums, bias or 0, out, rows, n, m, groups, whether to
    add, which activation, and odd (rows, n / 2).
    """
    even, weight, scale, zero, sums, odd = (
        integer(a, 0), integer(a, 1), integer(a, 2), integer(a, 3), integer(a, 4), integer(a, 13)
    )  # fmt: skip
    count, n, groups = integer(a, 7), integer(a, 8), integer(a, 10)
    for first in range(start, stop, 2):
        second = min(first + 1, stop - 1)
        for r in range(count):
            s, t = two_nibble_rows(even + 2 * r * n, odd + 2 * r * n, weight, scale, first, second, n, groups)
            these = sums + 4 * r * groups
            if zero:
                s -= zero_sum(scale, zero, these, first, groups, 255)
                t -= zero_sum(scale, zero, these, second, groups, 255)
            else:
                s -= HALF_RANGE * dot(scale + 4 * first * groups, these, groups)
                t -= HALF_RANGE * dot(scale + 4 * second * groups, these, groups)
            finish(a, r, first, s)
            if second > first:
                finish(a, r, second, t)
    for r in range(count):
        activate(integer(a, 12), start, stop, integer(a, 6) + 4 * r * integer(a, 9))


@compiled
def two_byte_rows(x: Any, weight: Any, scale: Any, first: Any, second: Any, n: Any, groups: Any) -> Any:
    """The sums of scale x code in two rows, without zero points."""
    v, w = weight + first * n, weight + second * n
    size = n // groups
    whole = size // STEP * STEP
    a = b = splat(ZERO)
    rest_a = rest_b = ZERO
    for g in range(groups):
        start = g * size
        s, t, s1, t1 = splat(ZERO), splat(ZERO), splat(ZERO), splat(ZERO)
        for i in range(start, start + whole, STEP):
            x0, x1 = load(x, i), load(x, i + WIDTH)
            s, t = multiply_add(x0, load_bytes(v, i), s), multiply_add(x0, load_bytes(w, i), t)
            s1 = multiply_add(x1, load_bytes(v, i + WIDTH), s1)
            t1 = multiply_add(x1, load_bytes(w, i + WIDTH), t1)
        p, q = number(scale, first * groups + g), number(scale, second * groups + g)
        a, b = multiply_add(splat(p), plus(s, s1), a), multiply_add(splat(q), plus(t, t1), b)
        for i in range(start + whole, start + size):
            rest_a += p * number(x, i) * np.float32(byte(v, i))
            rest_b += q * number(x, i) * np.float32(byte(w, i))
    return total(a) + rest_a, total(b) + rest_b


@compiled
def two_nibble_rows(even: Any, odd: Any, weight: Any, scale: Any, first: Any, second: Any, n: Any, groups: Any) -> Any:
    """The sums of scale x code in two rows of packed codes, without zero points."""
    v, w = weight + first * (n // 2), weight + second * (n // 2)
    size = n // groups // 2
    whole = size // WIDTH * WIDTH
    a = b = splat(ZERO)
    rest_a = rest_b = ZERO
    for g in range(groups):
        start = g * size
        s = t = splat(ZERO)
        for i in range(start, start + whole, WIDTH):
            x0, x1 = load(even, i), load(odd, i)
            low, all_eight = load_nibbles(v, i)
            s = multiply_add(x1, all_eight, multiply_add(x0, low, s))
            low, all_eight = load_nibbles(w, i)
            t = multiply_add(x1, all_eight, multiply_add(x0, low, t))
        p, q = number(scale, first * groups + g), number(scale, second * groups + g)
        a, b = multiply_add(splat(p), s, a), multiply_add(splat(q), t, b)
        for i in range(start + whole, start + size):
            both = byte(v, i) & 255
            rest_a += p * (number(even, i) * np.float32(both & 15) + number(odd, i) * np.float32(both))
            both = byte(w, i) & 255
            rest_b += q * (number(even, i) * np.float32(both & 15) + number(odd, i) * np.float32(both))
    return total(a) + rest_a, total(b) + rest_b


@compiled
def zero_sum(scale: Any, zero: Any, sums: Any, j: Any, groups: Any, mask: Any) -> Any:
    """What the zero points of row j add up to; `mask` is 255 where they are uint8."""
    value = ZERO
    for g in range(groups):
        point = byte(zero, j * groups + g)
        point = point & mask if mask else point
        value += number(scale, j * groups + g) * np.float32(point) * number(sums, g)
    return value


@compiled
def finish(a: Any, r: Any, j: Any, value: Any) -> Any:
    """Write a sum where it belongs."""
    bias, out, place = integer(a, 5), integer(a, 6), r * integer(a, 9) + j
    value = value + number(bias, j) if bias else value
    put(out, place, number(out, place) + value if integer(a, 11) else value)
