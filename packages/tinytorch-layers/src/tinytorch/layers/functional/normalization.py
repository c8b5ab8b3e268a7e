"""Layer norm and RMS norm over the last axis, worked through in blocks of rows.

What is kept for the backward pass is two numbers a row (or one): recomputing the normalized values while a block is in
the cache costs less than writing them to memory and reading them back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .blocks import row_blocks


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


def _check(x: Array, *scales: Array | None) -> None:
    if x.ndim == 0 or any(scale is not None and scale.shape != x.shape[-1:] for scale in scales):
        raise ValueError("layer_norm: x is 0-dimensional; there must be a last axis to normalize over")


def _rows(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _dtype(x: Array) -> Any:
    return x.dtype if x.dtype.kind == "f" else np.float64


@primitive(fused=True, explain=_explain("layer_norm"))
def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, /, eps: float = 1e-5
) -> tuple[Array, tuple[Array, Array]]:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis: (..., D), (D,), (D,) -> (..., D).

    Source: Ba, Kiros, Hinton 2016, Layer Normalization, eq. 4.

    >>> layer_norm(Tensor([[1.0, 3.0]]), eps=0.0)
    Tensor([[-1.,  1.]])
    """
    _check(x, weight, bias)
    rows, dtype = _rows(x), _dtype(x)
    n, d = rows.shape
    out = np.empty(x.shape, dtype)
    flat = out.reshape(n, d)
    mean, rstd = np.empty((n, 1), dtype), np.empty((n, 1), dtype)
    average = np.full((d, 1), 1 / d if d else 0.0, dtype)
    for block in row_blocks(n, d):
        centred, mu, scale = flat[block], mean[block], rstd[block]
        np.matmul(rows[block], average, out=mu)
        np.subtract(rows[block], mu, out=centred)
        np.matmul(centred * centred, average, out=scale)
        scale += eps
        np.sqrt(scale, out=scale)
        np.reciprocal(scale, out=scale)
        centred *= scale
        if weight is not None:
            centred *= weight
        if bias is not None:
            centred += bias
    return out, (mean, rstd)


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
    mean, rstd = saved
    rows, grads = _rows(x), _rows(g)
    n, d = rows.shape
    dx = np.empty(x.shape, g.dtype)
    flat = dx.reshape(n, d)
    dweight, dbias = np.zeros(d, g.dtype), np.zeros(d, g.dtype)
    # the mean over the last axis of what is multiplied by the weight first
    average = np.full(d, 1 / d if d else 0.0, g.dtype) if weight is None else weight / max(d, 1)
    for block in row_blocks(n, d):
        gradient, scale, result = grads[block], rstd[block], flat[block]
        normalized = np.subtract(rows[block], mean[block])
        normalized *= scale
        product = gradient * normalized
        if needs[1]:
            dweight += np.add.reduce(product, axis=0)
        if needs[2]:
            dbias += np.add.reduce(gradient, axis=0)
        if needs[0]:
            normalized *= np.matmul(product, average)[:, None]
            normalized += np.matmul(gradient, average)[:, None]
            if weight is None:
                np.subtract(gradient, normalized, out=result)
            else:
                np.multiply(gradient, weight, out=result)
                result -= normalized
            result *= scale
    return dx if needs[0] else None, dweight, dbias


def _layer_norm_by_parts(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    out = centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


defvjp(layer_norm, fused=_layer_norm_backward, composition=_layer_norm_by_parts)


@primitive(fused=True, explain=_explain("rms_norm"))
def rms_norm(x: Array, weight: Array | None = None, /, eps: float = 1e-5) -> tuple[Array, Array]:
    """x / sqrt(mean(x²) + eps) * weight over the last axis: (..., D), (D,) -> (..., D).

    Source: Zhang, Sennrich 2019, Root Mean Square Layer Normalization, eq. 4.

    >>> rms_norm(Tensor([[3.0, -3.0]]), eps=0.0)
    Tensor([[ 1., -1.]])
    """
    _check(x, weight)
    rows, dtype = _rows(x), _dtype(x)
    n, d = rows.shape
    out = np.empty(x.shape, dtype)
    flat = out.reshape(n, d)
    rstd = np.empty((n, 1), dtype)
    average = np.full((d, 1), 1 / d if d else 0.0, dtype)
    for block in row_blocks(n, d):
        result, scale = flat[block], rstd[block]
        np.multiply(rows[block], rows[block], out=result)
        np.matmul(result, average, out=scale)
        scale += eps
        np.sqrt(scale, out=scale)
        np.reciprocal(scale, out=scale)
        np.multiply(rows[block], scale, out=result)
        if weight is not None:
            result *= weight
    return out, rstd


def _rms_norm_backward(
    g: Array, out: Array, rstd: Array, needs: tuple[bool, ...], x: Array, weight: Array | None, eps: float = 1e-5
) -> tuple[Array | None, ...]:
    rows, grads = _rows(x), _rows(g)
    n, d = rows.shape
    dx = np.empty(x.shape, g.dtype)
    flat = dx.reshape(n, d)
    dweight = np.zeros(d, g.dtype)
    average = np.full(d, 1 / d if d else 0.0, g.dtype) if weight is None else weight / max(d, 1)
    for block in row_blocks(n, d):
        gradient, scale, result = grads[block], rstd[block], flat[block]
        normalized = np.multiply(rows[block], scale)
        product = gradient * normalized
        if needs[1]:
            dweight += np.add.reduce(product, axis=0)
        if needs[0]:
            normalized *= np.matmul(product, average)[:, None]
            if weight is None:
                np.subtract(gradient, normalized, out=result)
            else:
                np.multiply(gradient, weight, out=result)
                result -= normalized
            result *= scale
    return dx if needs[0] else None, dweight


def _rms_norm_by_parts(x: Any, weight: Any = None, eps: float = 1e-5) -> Tensor:
    out = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return out if weight is None else out * weight


defvjp(rms_norm, fused=_rms_norm_backward, composition=_rms_norm_by_parts)
