"""Layer norm and RMS norm over the last axis, worked through in blocks of rows.

What is kept for the backward pass is two numbers a row (or one): recomputing the normalized values while a block is in
the cache costs less than writing them to memory and reading them back.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import row_blocks, working_dtype


def _explain(name: str) -> Any:
    def better(error: Exception, x: Array, weight: Any = None, bias: Any = None, eps: float = 0.0) -> Exception | None:
        for what, value in (("weight", weight), ("bias", bias)):
            if value is not None and (np.ndim(x) == 0 or np.shape(value) != np.shape(x)[-1:]):
                return ValueError(
                    f"{name}: {what} of shape {np.shape(value)} for x of shape {np.shape(x)}; "
                    "it must have one number for each of the last axis"
                )
        return None

    return better


def _checked(name: str, x: Array, *scales: Array | None) -> Any:
    """The dtype of the result, when the shapes fit."""
    if np.ndim(x) == 0:
        raise ValueError(f"{name}: x has no axes; there must be a last axis to normalize over")
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    for scale in scales:
        if scale is None:
            continue
        if scale.shape != x.shape[-1:]:
            raise ValueError  # explained by what the primitive was declared with
        if scale.dtype is not dtype:
            dtype = np.result_type(dtype, scale.dtype)
    return dtype


def _rows(x: Array, dtype: Any) -> Array:
    x = x if x.dtype is dtype else x.astype(dtype, copy=False)
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@primitive(fused=True, explain=_explain("layer_norm"))
def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, /, eps: float = 1e-5
) -> tuple[Array, tuple[Array, Array]]:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis: (..., D), (D,), (D,) -> (..., D).

    Source: Ba, Kiros, Hinton 2016, Layer Normalization, eq. 4.

    >>> layer_norm(Tensor([[1.0, 3.0]]), eps=0.0)
    Tensor([[-1.,  1.]])
    """
    dtype = _checked("layer_norm", x, weight, bias)
    work = working_dtype(dtype)
    rows = _rows(x, work)
    n, d = rows.shape
    out = np.empty(x.shape, work)
    flat = out.reshape(n, d)
    mean, rstd = np.empty((n, 1), work), np.empty((n, 1), work)
    average = _average(d, work)
    for block in row_blocks(n, d):
        result, scale = flat[block], rstd[block]
        np.matmul(rows[block], average, out=mean[block])
        np.subtract(rows[block], mean[block], out=result)
        _reciprocal_root(np.vecdot(result, result), d, eps, scale)
        result *= scale
        if weight is not None:
            result *= weight
        if bias is not None:
            result += bias
    return out if work is dtype else out.astype(dtype), (mean, rstd)


@lru_cache(maxsize=64)
def _average(d: int, dtype: Any) -> Array:
    """The column to multiply a matrix with for the mean of each row: faster than a reduction."""
    return np.full((d, 1), 1 / max(d, 1), dtype)


def _weighted_average(weight: Array | None, d: int, dtype: Any) -> Array:
    """The same for the mean of each row times `weight`."""
    return _average(d, dtype) if weight is None else np.divide(weight, max(d, 1), dtype=dtype)[:, None]


def _reciprocal_root(squares: Array, d: int, eps: float, out: Array) -> None:
    """1 / sqrt(squares / d + eps), as a column."""
    squares *= 1 / max(d, 1)
    squares += eps
    np.sqrt(squares, out=squares)
    np.divide(1, squares[:, None], out=out)


def _layer_norm_backward(
    g: Array,
    out: Array,
    saved: tuple[Array, Array],
    needs: tuple[bool, ...],
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float = 1e-5,
) -> tuple[Array | None, ...]:
    """With n = (x - mean) rstd and h = g weight: dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n).

    Written in c = x - mean instead of n, so that the sums over rows and columns are products with vectors.
    """
    mean, rstd = saved
    rows, grads = _rows(x, rstd.dtype), _rows(g, rstd.dtype)
    n, d = rows.shape
    dx = np.empty(x.shape, rstd.dtype)
    flat = dx.reshape(n, d)
    dweight, dbias = np.zeros(d, rstd.dtype), np.zeros(d, rstd.dtype)
    average = _weighted_average(weight, d, rstd.dtype)
    for block in row_blocks(n, d):
        h, scale = grads[block], rstd[block]
        centred = np.subtract(rows[block], mean[block])
        product = np.multiply(h, centred)
        if needs[1]:
            dweight += np.matmul(scale[:, 0], product)
        if needs[2]:
            dbias += np.matmul(np.ones(len(h), h.dtype), h)
        if needs[0]:
            slope = np.matmul(product, average)  # mean(h c), (rows, 1)
            slope *= scale
            slope *= scale
            centred *= slope
            centred += np.matmul(h, average)
            result = flat[block]
            if weight is None:
                np.subtract(h, centred, out=result)
            else:
                np.multiply(h, weight, out=result)
                result -= centred
            result *= scale
    return dx if needs[0] else None, dweight, dbias


def _layer_norm_by_parts(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    out = centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


defvjp(layer_norm, fused=_layer_norm_backward, composition=_layer_norm_by_parts, keep=("inputs",))


@primitive(fused=True, explain=_explain("rms_norm"))
def rms_norm(x: Array, weight: Array | None = None, /, eps: float = 1e-5) -> tuple[Array, Array]:
    """x / sqrt(mean(x²) + eps) * weight over the last axis: (..., D), (D,) -> (..., D).

    Source: Zhang, Sennrich 2019, Root Mean Square Layer Normalization, eq. 4.

    >>> rms_norm(Tensor([[3.0, -3.0]]), eps=0.0)
    Tensor([[ 1., -1.]])
    """
    dtype = _checked("rms_norm", x, weight)
    work = working_dtype(dtype)
    rows = _rows(x, work)
    n, d = rows.shape
    out = np.empty(x.shape, work)
    flat = out.reshape(n, d)
    rstd = np.empty((n, 1), work)
    for block in row_blocks(n, d):
        _reciprocal_root(np.vecdot(rows[block], rows[block]), d, eps, rstd[block])
        np.multiply(rows[block], rstd[block], out=flat[block])
        if weight is not None:
            flat[block] *= weight
    return out if work is dtype else out.astype(dtype), rstd


def _rms_norm_backward(
    g: Array, out: Array, rstd: Array, needs: tuple[bool, ...], x: Array, weight: Array | None, eps: float = 1e-5
) -> tuple[Array | None, ...]:
    """With h = g weight: dx = rstd (h - x rstd² mean(h x)), dweight = sum(g x rstd)."""
    rows, grads = _rows(x, rstd.dtype), _rows(g, rstd.dtype)
    n, d = rows.shape
    dx = np.empty(x.shape, rstd.dtype)
    flat = dx.reshape(n, d)
    dweight = np.zeros(d, rstd.dtype)
    average = _weighted_average(weight, d, rstd.dtype)
    for block in row_blocks(n, d):
        h, scale = grads[block], rstd[block]
        product = np.multiply(h, rows[block])
        if needs[1]:
            dweight += np.matmul(scale[:, 0], product)
        if needs[0]:
            slope = np.matmul(product, average)  # mean(h x), (rows, 1)
            slope *= scale
            slope *= scale
            np.multiply(rows[block], slope, out=product)
            result = flat[block]
            if weight is None:
                np.subtract(h, product, out=result)
            else:
                np.multiply(h, weight, out=result)
                result -= product
            result *= scale
    return dx if needs[0] else None, dweight


def _rms_norm_by_parts(x: Any, weight: Any = None, eps: float = 1e-5) -> Tensor:
    out = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return out if weight is None else out * weight


defvjp(rms_norm, fused=_rms_norm_backward, composition=_rms_norm_by_parts, keep=("inputs",))
