"""Layer norm and RMS norm over the last axis, worked through in blocks of rows.

The forward pass keeps two numbers per row (or one) for the backward pass: recomputing the normalized values while a
block is in the cache costs less than writing them to memory and reading them back.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import by_rows, row_blocks


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


def _as_rows(name: str, x: Array, *scales: Array | None) -> Array:
    """x as rows (n, D) of the dtype of the result. Raises ValueError for x without axes."""
    if type(x) is not np.ndarray:
        x = np.asarray(x)
    if not x.ndim:
        raise ValueError(f"{name}: x has no axes; there must be a last axis to normalize over")
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    for scale in scales:
        if scale is not None and scale.dtype is not dtype:
            dtype = np.result_type(dtype, scale.dtype)
    x = x if x.dtype is dtype else x.astype(dtype)
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _layer_norm_rows(
    x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Array, tuple[Any, Any]]:
    _check_scales(x, weight, bias)
    if len(x) == 1 and x.size:
        return _layer_norm_row(x, weight, bias, eps)
    out, mean, rstd = by_rows(_layer_norm_block, x, weight, bias, eps)
    return out, (mean, rstd)


def _layer_norm_row(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, tuple[float, float]]:
    """A single row, as when a token is generated: with numbers in place of columns, in half the time."""
    mean = x[0].dot(_average(x.shape[1], x.dtype))
    out = x - mean  # (1, D)
    row = out[0]
    rstd = 1 / math.sqrt(row.dot(row) / len(row) + eps)
    row *= rstd
    if weight is not None:
        row *= weight
    if bias is not None:
        row += bias
    return out, (mean, rstd)


def _layer_norm_block(
    x: Array, weight: Array | None, bias: Array | None, eps: float, out: Array | None = None
) -> tuple[Array, Array, Array]:
    mean = x.dot(_average(x.shape[1], x.dtype))[:, None]  # (n, D) -> (n, 1)
    out = np.subtract(x, mean, out)
    rstd = _reciprocal_rms(out, eps)
    out *= rstd
    if weight is not None:
        out *= weight
    if bias is not None:
        out += bias
    return out, mean, rstd


def _rms_norm_rows(x: Array, weight: Array | None = None, eps: float = 1e-5) -> tuple[Array, Any]:
    _check_scales(x, weight, None)
    if len(x) == 1 and x.size:
        return _rms_norm_row(x, weight, eps)
    out, rstd = by_rows(_rms_norm_block, x, weight, eps)
    return out, rstd


def _rms_norm_row(x: Array, weight: Array | None, eps: float) -> tuple[Array, float]:
    row = x[0]
    rstd = 1 / math.sqrt(row.dot(row) / len(row) + eps)
    out = x * rstd  # (1, D)
    if weight is not None:
        row = out[0]
        row *= weight
    return out, rstd


def _rms_norm_block(x: Array, weight: Array | None, eps: float, out: Array | None = None) -> tuple[Array, Array]:
    rstd = _reciprocal_rms(x, eps)
    out = np.multiply(x, rstd, out)
    if weight is not None:
        out *= weight
    return out, rstd


def _check_scales(x: Array, weight: Array | None, bias: Array | None) -> None:
    last = x.shape[1:]
    if (weight is not None and weight.shape != last) or (bias is not None and bias.shape != last):
        raise ValueError  # explained by what the primitive was declared with


@lru_cache(maxsize=64)
def _average(d: int, dtype: Any) -> Array:
    """The vector to multiply a matrix with for the mean of each row: faster than a reduction."""
    return np.full(d, 1 / max(d, 1), dtype)


def _column(numbers: Any, dtype: np.dtype[Any]) -> Array:
    """A number per row as the backward pass takes it, (n, 1); of a single row it is no array yet."""
    return numbers if type(numbers) is np.ndarray else np.full((1, 1), numbers, dtype)


def _reciprocal_rms(x: Array, eps: float) -> Array:
    """1 / sqrt(mean(x²) + eps) for each row: (n, D) -> (n, 1)."""
    d = max(x.shape[1], 1)
    rms: Array = np.sqrt(np.vecdot(x, x) + d * eps)  # times sqrt(d)
    return math.sqrt(d) / rms[:, None]


@primitive(fused=True, upcast=True, explain=_explain("layer_norm"), rows=_layer_norm_rows)
def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, /, eps: float = 1e-5
) -> tuple[Array, tuple[Array, Array]]:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis: (..., D), (D,), (D,) -> (..., D).

    Source: Ba, Kiros, Hinton 2016, Layer Normalization, eq. 4.

    >>> layer_norm(Tensor([[1.0, 3.0]]), eps=0.0)
    Tensor([[-1.,  1.]])
    """
    out, (mean, rstd) = _layer_norm_rows(_as_rows("layer_norm", x, weight, bias), weight, bias, eps)
    saved = _column(mean, out.dtype), _column(rstd, out.dtype)
    return out if x.ndim == 2 else out.reshape(x.shape), saved


def _norm_backward(
    g: Array, x: Array, weight: Array | None, mean: Array | None, rstd: Array, needs: tuple[bool, ...]
) -> tuple[Array | None, Array, Array]:
    """With c = x - mean and h = g weight: dx = rstd (h - mean(h) - c rstd² mean(h c)), dweight = sum(g c rstd).

    Without a mean c is x, and mean(h) is left out. Sums over rows and columns are products with vectors.
    """
    n, d = rstd.shape[0], x.shape[-1]
    rows, grads = (each.astype(rstd.dtype, copy=False).reshape(n, d) for each in (x, g))
    dx = np.empty(x.shape, rstd.dtype)
    flat = dx.reshape(n, d)
    dweight, dbias = np.zeros(d, rstd.dtype), np.zeros(d, rstd.dtype)
    average = _average(d, rstd.dtype)  # of h: with the weight in it, the mean of g weight
    if weight is not None:
        average = np.divide(weight, max(d, 1), dtype=rstd.dtype)
    for block in row_blocks(n, d):
        h, scale, result = grads[block], rstd[block], flat[block]
        c = rows[block] if mean is None else rows[block] - mean[block]
        product = h * c
        if needs[1]:
            dweight += np.matmul(scale[:, 0], product)
        if needs[-1]:
            dbias += np.matmul(np.ones(len(h), h.dtype), h)
        if needs[0]:
            slope = np.matmul(product, average)[:, None]  # mean(h c), (n, 1)
            slope *= scale
            slope *= scale
            c = np.multiply(c, slope, out=product)
            if mean is not None:
                c += np.matmul(h, average)[:, None]
            np.subtract(h if weight is None else np.multiply(h, weight, out=result), c, out=result)
            result *= scale
    return dx if needs[0] else None, dweight, dbias


def _layer_norm_backward(
    g: Array, out: Array, saved: tuple[Array, Array], needs: tuple[bool, ...], x: Array, weight: Array | None,
    *_: Any, **__: Any,
) -> tuple[Array | None, ...]:  # fmt: skip
    return _norm_backward(g, x, weight, *saved, needs)


def _layer_norm_by_parts(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    centered = x - np.mean(x, axis=-1, keepdims=True)
    out = centered / np.sqrt(np.mean(centered * centered, axis=-1, keepdims=True) + eps)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


defvjp(layer_norm, fused=_layer_norm_backward, composition=_layer_norm_by_parts, keep=("inputs",))


@primitive(fused=True, upcast=True, explain=_explain("rms_norm"), rows=_rms_norm_rows)
def rms_norm(x: Array, weight: Array | None = None, /, eps: float = 1e-5) -> tuple[Array, Array]:
    """x / sqrt(mean(x²) + eps) * weight over the last axis: (..., D), (D,) -> (..., D).

    Source: Zhang, Sennrich 2019, Root Mean Square Layer Normalization, eq. 4.

    >>> rms_norm(Tensor([[3.0, -3.0]]), eps=0.0)
    Tensor([[ 1., -1.]])
    """
    out, rstd = _rms_norm_rows(_as_rows("rms_norm", x, weight), weight, eps)
    return out if x.ndim == 2 else out.reshape(x.shape), _column(rstd, out.dtype)


def _rms_norm_backward(
    g: Array, out: Array, rstd: Array, needs: tuple[bool, ...], x: Array, weight: Array | None, eps: float = 1e-5
) -> tuple[Array | None, ...]:
    return _norm_backward(g, x, weight, None, rstd, (*needs, False))[:2]


def _rms_norm_by_parts(x: Any, weight: Any = None, eps: float = 1e-5) -> Tensor:
    out = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return out if weight is None else out * weight


defvjp(rms_norm, fused=_rms_norm_backward, composition=_rms_norm_by_parts, keep=("inputs",))
