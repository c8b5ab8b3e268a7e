"""Operations of programs for one token, or a few: products with weights, norms, activations, attention.

Each is a function `(start, stop, a)` of a block of its rows or columns; `a` is the address of its arguments: the
addresses of arrays of float32, contiguous unless said otherwise, and sizes. `0` stands for an array that is not there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .compiling import compiled
from .kernels.elementary import exp32
from .programs import real
from .vectors import (
    WIDTH,
    integer,
    largest,
    load,
    maximum,
    multiply_add,
    number,
    put,
    splat,
    store,
    total,
)  # fmt: skip

ZERO, ONE, LEAST = np.float32(0), np.float32(1), np.float32(-np.inf)
A, B = np.float32(-2 * math.sqrt(2 / math.pi)), np.float32(0.044715)
GELU, SILU, RELU = 1, 2, 3
"""Activations that a product may end with; 0 is none."""


@compiled
def columns(start: Any, stop: Any, a: Any) -> Any:
    """Columns of `out = f(x @ weight + bias)`, or of `out += x @ weight + bias`; weight is (n, m).

    Arguments: x (rows, n), weight, bias or 0, out (rows, m), rows, n, m, whether to add, and which activation f is.
    """
    x, weight, bias, out = integer(a, 0), integer(a, 1), integer(a, 2), integer(a, 3)
    rows, n, m, adds, f = integer(a, 4), integer(a, 5), integer(a, 6), integer(a, 7), integer(a, 8)
    for r in range(rows):
        for j in range(start, stop):
            value = number(bias, j) if bias else ZERO
            put(out, r * m + j, value + number(out, r * m + j) if adds else value)
    width = stop - start if rows == 1 else 256  # of several rows, all use a tile of the weight while it is in the cache
    for i in range(0, n - 7, 8):
        for left in range(start, stop, width):
            for r in range(rows):
                eight_rows(left, min(stop, left + width), x + 4 * (r * n + i), weight + 4 * i * m, out + 4 * r * m, m)
    for i in range(n // 8 * 8, n):
        for r in range(rows):
            for j in range(start, stop):
                put(out, r * m + j, number(out, r * m + j) + number(x, r * n + i) * number(weight, i * m + j))
    for r in range(rows):
        activate(f, start, stop, out + 4 * r * m)


@compiled
def eight_rows(start: Any, stop: Any, x: Any, weight: Any, out: Any, m: Any) -> Any:
    """out[start:stop] += x[:8] @ weight[:8, start:stop]."""
    x0, x1, x2, x3 = number(x, 0), number(x, 1), number(x, 2), number(x, 3)
    x4, x5, x6, x7 = number(x, 4), number(x, 5), number(x, 6), number(x, 7)
    whole = start + (stop - start) // WIDTH * WIDTH
    for j in range(start, whole, WIDTH):
        sums = multiply_add(splat(x0), load(weight, j), load(out, j))
        sums = multiply_add(splat(x1), load(weight, j + m), sums)
        sums = multiply_add(splat(x2), load(weight, j + 2 * m), sums)
        sums = multiply_add(splat(x3), load(weight, j + 3 * m), sums)
        sums = multiply_add(splat(x4), load(weight, j + 4 * m), sums)
        sums = multiply_add(splat(x5), load(weight, j + 5 * m), sums)
        sums = multiply_add(splat(x6), load(weight, j + 6 * m), sums)
        sums = multiply_add(splat(x7), load(weight, j + 7 * m), sums)
        store(out, j, sums)
    for j in range(whole, stop):
        value = number(out, j)
        for i in range(8):
            value += number(x, i) * number(weight, j + i * m)
        put(out, j, value)


@compiled
def rows(start: Any, stop: Any, a: Any) -> Any:
    """Columns of `out = x @ weight.T + bias`, each a row of weight (m, n).

    Arguments: x (rows, n), weight, bias or 0, out (rows, m), rows, n, m.
    """
    x, weight, bias, out = integer(a, 0), integer(a, 1), integer(a, 2), integer(a, 3)
    count, n, m = integer(a, 4), integer(a, 5), integer(a, 6)
    for first in range(start, stop, 4):
        for r in range(count):
            if first + 4 <= stop:
                four_dots(first, x + 4 * r * n, weight, out + 4 * r * m, n)
            else:
                for j in range(first, stop):
                    put(out, r * m + j, dot(x + 4 * r * n, weight + 4 * j * n, n))
            if bias:
                for j in range(first, min(first + 4, stop)):
                    put(out, r * m + j, number(out, r * m + j) + number(bias, j))


@compiled
def dot(x: Any, y: Any, n: Any) -> Any:
    """The sum of the products of n numbers."""
    sums = splat(ZERO)
    whole = n // WIDTH * WIDTH
    for i in range(0, whole, WIDTH):
        sums = multiply_add(load(x, i), load(y, i), sums)
    value = total(sums)
    for i in range(whole, n):
        value += number(x, i) * number(y, i)
    return value


@compiled
def four_dots(j: Any, x: Any, weight: Any, out: Any, n: Any) -> Any:
    """out[j : j + 4] = weight[j : j + 4] @ x, each summed up as `dot` does."""
    w0 = weight + 4 * j * n
    w1, w2, w3 = w0 + 4 * n, w0 + 8 * n, w0 + 12 * n
    a = b = c = d = splat(ZERO)
    whole = n // WIDTH * WIDTH
    for i in range(0, whole, WIDTH):
        numbers = load(x, i)
        a, b = multiply_add(numbers, load(w0, i), a), multiply_add(numbers, load(w1, i), b)
        c, d = multiply_add(numbers, load(w2, i), c), multiply_add(numbers, load(w3, i), d)
    s, t, u, v = total(a), total(b), total(c), total(d)
    for i in range(whole, n):
        value = number(x, i)
        s += value * number(w0, i)
        t += value * number(w1, i)
        u += value * number(w2, i)
        v += value * number(w3, i)
    put(out, j, s)
    put(out, j + 1, t)
    put(out, j + 2, u)
    put(out, j + 3, v)


@compiled
def activate(f: Any, start: Any, stop: Any, x: Any) -> Any:
    """x[start:stop] = f(x[start:stop]); GELU is x / (1 + exp(-2 u)), as 1 + tanh(u) is 2 / (1 + exp(-2 u))."""
    if f == GELU:
        for j in range(start, stop):
            value = number(x, j)
            put(x, j, value / (ONE + exp32(A * (value + B * value * value * value))))
    elif f == SILU:
        for j in range(start, stop):
            value = number(x, j)
            put(x, j, value / (ONE + exp32(-value)))
    elif f == RELU:
        for j in range(start, stop):
            put(x, j, max(number(x, j), ZERO))


@compiled
def multiply(start: Any, stop: Any, a: Any) -> Any:
    """Numbers of `x *= y`. Arguments: x, y."""
    x, y = integer(a, 0), integer(a, 1)
    for j in range(start, stop):
        put(x, j, number(x, j) * number(y, j))


@compiled
def normalize(start: Any, stop: Any, a: Any) -> Any:
    """Rows of a layer norm, or of an RMS norm.

    Arguments: x (rows, d), weight, bias or 0, out (rows, d), d, eps, and whether the mean is subtracted.
    """
    weight, bias, d = integer(a, 1), integer(a, 2), integer(a, 4)
    eps, centered = real(a, 5), integer(a, 6)
    for r in range(start, stop):
        x, out = integer(a, 0) + 4 * r * d, integer(a, 3) + 4 * r * d
        mean = sum_of(x, d) / np.float32(d) if centered else ZERO
        for i in range(d):
            put(out, i, number(x, i) - mean)
        scale = ONE / np.sqrt(dot(out, out, d) / np.float32(d) + eps)
        for i in range(d):
            value = number(out, i) * scale
            value = value * number(weight, i) if weight else value
            put(out, i, value + number(bias, i) if bias else value)


@compiled
def sum_of(x: Any, n: Any) -> Any:
    """The sum of n numbers."""
    sums, ones = splat(ZERO), splat(ONE)
    whole = n // WIDTH * WIDTH
    for i in range(0, whole, WIDTH):
        sums = multiply_add(load(x, i), ones, sums)
    value = total(sums)
    for i in range(whole, n):
        value += number(x, i)
    return value


@compiled
def turn(start: Any, stop: Any, a: Any) -> Any:
    """Heads of `x`, (heads, D), rotated: pairs (i, i + D/2). Arguments: x, cos and sin (D/2,), D."""
    cos, sin, d = integer(a, 1), integer(a, 2), integer(a, 3)
    half = d // 2
    for head in range(start, stop):
        x = integer(a, 0) + 4 * head * d
        for i in range(half):
            first, second = number(x, i), number(x, i + half)
            put(x, i, first * number(cos, i) - second * number(sin, i))
            put(x, i + half, second * number(cos, i) + first * number(sin, i))


@compiled
def attend(start: Any, stop: Any, a: Any) -> Any:
    """Heads of keys: write the new key and value into a cache, and let the queries that share them attend to all.

    Arguments: q (B, H, D), k and v (B, Hkv, D), out (B, H, D), keys (B, Hkv, D, capacity), values (B, Hkv, capacity,
    D), room (B, Hkv, capacity) for the weights, H // Hkv, D, capacity, position, scale. Heads count through B.
    """
    q, k, v, out = integer(a, 0), integer(a, 1), integer(a, 2), integer(a, 3)
    shared, d, capacity, position, scale = integer(a, 7), integer(a, 8), integer(a, 9), integer(a, 10), real(a, 11)
    for head in range(start, stop):
        keys = integer(a, 4) + 4 * head * d * capacity  # (D, capacity)
        values = integer(a, 5) + 4 * head * d * capacity  # (capacity, D)
        weights = integer(a, 6) + 4 * head * capacity
        for i in range(d):
            put(keys, i * capacity + position, number(k, head * d + i))
            put(values, position * d + i, number(v, head * d + i))
        for g in range(head * shared, (head + 1) * shared):
            attend_head(q + 4 * g * d, keys, values, weights, out + 4 * g * d, d, capacity, position + 1, scale)


@compiled
def attend_head(
    q: Any, keys: Any, values: Any, weights: Any, out: Any, d: Any, capacity: Any, count: Any, scale: Any,
) -> Any:  # fmt: skip
    """out = softmax(q keys scale) values, over `count` positions."""
    for s in range(count):
        put(weights, s, ZERO)
    for i in range(0, d - 7, 8):
        eight_rows(0, count, q + 4 * i, keys + 4 * i * capacity, weights, capacity)
    for i in range(d // 8 * 8, d):
        for s in range(count):
            put(weights, s, number(weights, s) + number(q, i) * number(keys, i * capacity + s))
    top = largest_of(weights, count)
    for s in range(count):
        put(weights, s, exp32((number(weights, s) - top) * scale))
    share = ONE / sum_of(weights, count)
    for i in range(d):
        put(out, i, ZERO)
    for s in range(0, count - 7, 8):
        eight_rows(0, d, weights + 4 * s, values + 4 * s * d, out, d)
    for s in range(count // 8 * 8, count):
        for i in range(d):
            put(out, i, number(out, i) + number(weights, s) * number(values, s * d + i))
    for i in range(d):
        put(out, i, number(out, i) * share)


@compiled
def largest_of(x: Any, n: Any) -> Any:
    """The largest of n numbers, at least one."""
    whole = n // WIDTH * WIDTH
    tops = splat(LEAST)
    for i in range(0, whole, WIDTH):
        tops = maximum(load(x, i), tops)
    top = largest(tops)
    for i in range(whole, n):
        top = max(top, number(x, i))
    return top
