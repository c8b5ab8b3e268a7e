"""Softmax and its logarithm along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

# without the two Python calls of np.max and np.sum
_max: Any = np.maximum.reduce
_sum: Any = np.add.reduce


def _explain(name: str) -> Any:
    def better(error: Exception, x: Array, axis: Any = -1) -> Exception | None:
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            return TypeError(f"{name}: axis is {axis!r}; it must be an int")
        if not -np.ndim(x) <= axis < np.ndim(x):
            return IndexError(f"{name}: axis {axis} of shape {np.shape(x)}; it must be one of its {np.ndim(x)} axes")
        return None

    return better


def _shifted(x: Array, axis: int) -> Array:
    """x minus its largest element along `axis`, so that no exponential overflows."""
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    return np.subtract(x, _max(x, axis=axis, keepdims=True, initial=-np.inf))


@primitive(fused=True, explain=_explain("softmax"))
def softmax(x: Array, /, axis: int = -1) -> tuple[Array, None]:
    """exp(x) / sum(exp(x)) along `axis`.

    >>> softmax(Tensor([0.0, 0.0]))
    Tensor([0.5, 0.5])
    """
    out = _shifted(x, axis)
    np.exp(out, out=out)
    out /= _sum(out, axis=axis, keepdims=True)
    return out, None


def _softmax_backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Array, axis: int = -1
) -> tuple[Array]:
    dx = np.multiply(g, out)
    total = _sum(dx, axis=axis, keepdims=True)
    np.subtract(g, total, out=dx)
    dx *= out
    return (dx,)


def _softmax_by_parts(x: Any, axis: int = -1) -> Tensor:
    e = np.exp(x - Tensor(x.data.max(axis=axis, keepdims=True), x.dtype))  # any constant shift gives the same result
    return e / np.sum(e, axis=axis, keepdims=True)


defvjp(softmax, fused=_softmax_backward, composition=_softmax_by_parts)


@primitive(fused=True, explain=_explain("log_softmax"))
def log_softmax(x: Array, /, axis: int = -1) -> tuple[Array, None]:
    """x - log(sum(exp(x))) along `axis`: the logarithm of the softmax, finite where the softmax rounds to 0.

    >>> log_softmax(Tensor([0.0, 0.0]))
    Tensor([-0.6931, -0.6931])
    """
    out = _shifted(x, axis)
    out -= np.log(_sum(np.exp(out), axis=axis, keepdims=True))
    return out, None


def _log_softmax_backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Array, axis: int = -1
) -> tuple[Array]:
    dx = np.exp(out)
    dx *= _sum(g, axis=axis, keepdims=True)
    np.subtract(g, dx, out=dx)
    return (dx,)


def _log_softmax_by_parts(x: Any, axis: int = -1) -> Tensor:
    shifted = x - Tensor(x.data.max(axis=axis, keepdims=True), x.dtype)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


defvjp(log_softmax, fused=_log_softmax_backward, composition=_log_softmax_by_parts)
