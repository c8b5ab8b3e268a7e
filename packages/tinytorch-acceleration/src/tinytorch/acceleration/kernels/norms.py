"""Layer norm and RMS norm: each row is read from the cache, not from memory, for every sum after the first."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import functional as F
from tinytorch.tensor import Array

from ..compiling import compiled
from ..serving import Unserved, serves, serves_gradient
from .served import rows_of, rows_per_block, unserved


@compiled(reassociate=True)
def layer_norm_rows(
    start: int, stop: int, x: Array, weight: Array, bias: Array, eps: float, out: Array, mean: Array, rstd: Array
) -> None:
    """(x - mean) rstd weight + bias, with rstd = 1 / sqrt(var + eps): (n, D), mean and rstd are (n,)."""
    real = x.dtype.type
    d, one, eps = real(x.shape[1]), real(1), real(eps)
    for i in range(start, stop):
        row, result = x[i], out[i]
        total = real(0)
        for j in range(row.size):
            total += row[j]
        center = total / d
        squares = real(0)
        for j in range(row.size):
            squares += (row[j] - center) * (row[j] - center)
        scale = one / np.sqrt(squares / d + eps)
        for j in range(row.size):
            result[j] = (row[j] - center) * scale * weight[j] + bias[j]
        mean[i], rstd[i] = center, scale


@compiled(reassociate=True)
def layer_norm_slopes(
    start: int, stop: int, block: int, g: Array, x: Array, weight: Array, mean: Array, rstd: Array,
    dx: Array, dweight: Array, dbias: Array,
) -> None:  # fmt: skip
    """With c = x - mean and h = g weight: dx = rstd (h - mean(h) - c rstd² mean(h c)); sums over each block of rows."""
    real = x.dtype.type
    d = real(x.shape[1])
    dw, db = dweight[start // block], dbias[start // block]  # (D,) of this block of rows
    dw[:] = real(0)
    db[:] = real(0)
    for i in range(start, stop):
        row, slope, result, center, scale = x[i], g[i], dx[i], mean[i], rstd[i]
        total, product = real(0), real(0)
        for j in range(row.size):
            h = slope[j] * weight[j]
            total += h
            product += h * (row[j] - center)
        total, product = total / d, product / d * scale * scale
        for j in range(row.size):
            c = row[j] - center
            result[j] = (slope[j] * weight[j] - total - c * product) * scale
            dw[j] += slope[j] * (c * scale)
            db[j] += slope[j]


@compiled(reassociate=True)
def rms_norm_rows(start: int, stop: int, x: Array, weight: Array, eps: float, out: Array, rstd: Array) -> None:
    """x rstd weight, with rstd = 1 / sqrt(mean(x²) + eps): (n, D), rstd is (n,)."""
    real = x.dtype.type
    d, one, eps = real(x.shape[1]), real(1), real(eps)
    for i in range(start, stop):
        row, result = x[i], out[i]
        squares = real(0)
        for j in range(row.size):
            squares += row[j] * row[j]
        scale = one / np.sqrt(squares / d + eps)
        for j in range(row.size):
            result[j] = row[j] * scale * weight[j]
        rstd[i] = scale


@compiled(reassociate=True)
def rms_norm_slopes(
    start: int, stop: int, block: int, g: Array, x: Array, weight: Array, rstd: Array, dx: Array, dweight: Array
) -> None:
    """With h = g weight: dx = rstd (h - x rstd² mean(h x)); sums over each block of rows."""
    real = x.dtype.type
    d = real(x.shape[1])
    dw = dweight[start // block]
    dw[:] = real(0)
    for i in range(start, stop):
        row, slope, result, scale = x[i], g[i], dx[i], rstd[i]
        product = real(0)
        for j in range(row.size):
            product += slope[j] * weight[j] * row[j]
        product = product / d * scale * scale
        for j in range(row.size):
            result[j] = (slope[j] * weight[j] - row[j] * product) * scale
            dw[j] += slope[j] * (row[j] * scale)


def _refuse(x: Any, *others: Any) -> Unserved | None:
    reason = unserved(x, *(each for each in others if each is not None))
    if reason is None and (x.ndim == 0 or not x.size):
        reason = Unserved(f"shape {x.shape}")
    if reason is None and any(each is not None and each.shape != x.shape[-1:] for each in others):
        reason = Unserved("weight or bias of another size")
    return reason


@serves(F.layer_norm)
def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    if (reason := _refuse(x, weight, bias)) is not None:
        return reason
    rows = rows_of(x)
    n, d = rows.shape
    out, mean, rstd = np.empty(x.shape, x.dtype), np.empty((n, 1), x.dtype), np.empty((n, 1), x.dtype)
    weight = np.ones(d, x.dtype) if weight is None else weight
    bias = np.zeros(d, x.dtype) if bias is None else bias
    layer_norm_rows.over(n, rows_per_block(d), rows, weight, bias, eps, out.reshape(n, d), mean[:, 0], rstd[:, 0])
    return out, (mean, rstd)


@serves_gradient(F.layer_norm)
def layer_norm_backward(
    g: Array, out: Any, saved: Any, needs: Any, x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    mean, rstd = saved
    if (reason := _refuse(x, weight) or unserved(g, x, rstd)) is not None:
        return reason
    rows = rows_of(x)
    n, d = rows.shape
    block = rows_per_block(d)
    dx, (dweight, dbias) = np.empty(x.shape, x.dtype), np.empty((2, -(-n // block), d), x.dtype)
    weight = np.ones(d, x.dtype) if weight is None else weight
    layer_norm_slopes.over(
        n, block, block, rows_of(g), rows, weight, mean[:, 0], rstd[:, 0], dx.reshape(n, d), dweight, dbias
    )
    return dx, np.add.reduce(dweight, axis=0), np.add.reduce(dbias, axis=0)


@serves(F.rms_norm)
def rms_norm(x: Any, weight: Any = None, eps: float = 1e-5) -> Any:
    if (reason := _refuse(x, weight)) is not None:
        return reason
    rows = rows_of(x)
    n, d = rows.shape
    out, rstd = np.empty(x.shape, x.dtype), np.empty((n, 1), x.dtype)
    weight = np.ones(d, x.dtype) if weight is None else weight
    rms_norm_rows.over(n, rows_per_block(d), rows, weight, eps, out.reshape(n, d), rstd[:, 0])
    return out, rstd


@serves_gradient(F.rms_norm)
def rms_norm_backward(
    g: Array, out: Any, rstd: Any, needs: Any, x: Any, weight: Any = None, eps: float = 1e-5
) -> Any:  # fmt: skip
    if (reason := _refuse(x, weight) or unserved(g, x, rstd)) is not None:
        return reason
    rows = rows_of(x)
    n, d = rows.shape
    block = rows_per_block(d)
    dx, dweight = np.empty(x.shape, x.dtype), np.empty((-(-n // block), d), x.dtype)
    weight = np.ones(d, x.dtype) if weight is None else weight
    rms_norm_slopes.over(n, block, block, rows_of(g), rows, weight, rstd[:, 0], dx.reshape(n, d), dweight)
    return dx, np.add.reduce(dweight, axis=0)
