"""Softmax and its logarithm along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .sums import sum_within_rows

# without the two Python calls of np.max and np.sum
_max: Any = np.maximum.reduce
_min: Any = np.minimum.reduce
_sum: Any = np.add.reduce

SAFE = 60.0
"""Exponentials of numbers within ±60, and sums of 10¹² of them, neither overflow nor vanish in float32."""
SHORT = 2048


def _explain(name: str) -> Any:
    def better(error: Exception, x: Any, axis: Any = -1) -> Exception | None:
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            return TypeError(f"{name}: axis is {axis!r}; it must be an int")
        if not -np.ndim(x) <= axis < np.ndim(x):
            return IndexError(f"{name}: axis {axis} of shape {np.shape(x)}; it must be one of its {np.ndim(x)} axes")
        return None

    return better


def shift(x: Array, axis: int) -> Array | float:
    """The number to subtract so that no exponential overflows: the largest along `axis`, or 0 where none can.

    A look at the extremes of the whole array is many times cheaper than the largest of each row and its subtraction,
    and the length of a short vector, which bounds each of its numbers, is cheaper still. `x` is not float16.
    """
    if x.size <= SHORT:
        row = x.reshape(-1)
        if np.vdot(row, row) <= SAFE**2:  # row.dot(row) would warn when that overflows
            return 0.0
    if x.size == 0 or (_min(x, axis=None) >= -SAFE and _max(x, axis=None) <= SAFE):
        return 0.0
    return _max(x, axis=axis, keepdims=True)


def total(x: Array, axis: int) -> Array:
    """The sum along `axis`, kept with size 1: along the last one a matrix-vector product, which is faster."""
    if axis not in (-1, x.ndim - 1) or x.size == 0 or not x.flags.c_contiguous:
        return _sum(x, axis=axis, keepdims=True)
    return sum_within_rows(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], 1)


def _floats(x: Any, axis: int) -> Array:
    """x as floating-point numbers. Raises ValueError for an axis that it does not have."""
    x = np.asarray(x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError  # explained by what the primitive was declared with
    return x if x.dtype.kind == "f" else x.astype(np.float64)


@primitive(fused=True, upcast=True, explain=_explain("softmax"))
def softmax(x: Array, /, axis: int = -1) -> tuple[Array, None]:
    """exp(x) / sum(exp(x)) along `axis`.

    >>> softmax(Tensor([0.0, 0.0]))
    Tensor([0.5, 0.5])
    """
    x = _floats(x, axis)
    top = shift(x, axis)
    if isinstance(top, float):
        out = np.exp(x)
    else:
        out = np.subtract(x, top)
        np.exp(out, out=out)
    out /= total(out, axis)
    return out, None


def _softmax_backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any, axis: int = -1
) -> tuple[Array]:
    last = axis in (-1, out.ndim - 1)
    inner = np.vecdot(g, out)[..., None] if last else _sum(g * out, axis=axis, keepdims=True)
    dx = np.subtract(g, inner)
    dx *= out
    return (dx,)


def _softmax_by_parts(x: Any, axis: int = -1) -> Tensor:
    e = np.exp(x - x.detach().max(axis=axis, keepdims=True))  # any constant shift gives the same result
    return e / np.sum(e, axis=axis, keepdims=True)


defvjp(softmax, fused=_softmax_backward, composition=_softmax_by_parts)


@primitive(fused=True, upcast=True, explain=_explain("log_softmax"))
def log_softmax(x: Array, /, axis: int = -1) -> tuple[Array, None]:
    """x - log(sum(exp(x))) along `axis`: the logarithm of the softmax, finite where the softmax rounds to 0.

    >>> log_softmax(Tensor([0.0, 0.0]))
    Tensor([-0.6931, -0.6931])
    """
    x = _floats(x, axis)
    top = shift(x, axis)
    if isinstance(top, float):
        out = x - np.log(total(np.exp(x), axis))
    else:
        out = np.subtract(x, top)
        out -= np.log(total(np.exp(out), axis))
    return out, None


def _log_softmax_backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Any, axis: int = -1
) -> tuple[Array]:
    dx = np.exp(out)
    dx *= total(g, axis)
    np.subtract(g, dx, out=dx)
    return (dx,)


def _log_softmax_by_parts(x: Any, axis: int = -1) -> Tensor:
    shifted = x - x.detach().max(axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


defvjp(log_softmax, fused=_log_softmax_backward, composition=_log_softmax_by_parts)
