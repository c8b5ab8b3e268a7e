"""Operations that fold an axis: the gradient is spread over what was folded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinytorch.tensor as tt

from ..registry import Gradient, defconst, defvjp
from .elementwise import SHAPES, select
from .running import before

Axis = Any


def folded(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The axes that were folded, counted from the front."""
    if axis is None:
        return tuple(range(len(shape)))
    return tuple(a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,)))


def unfold(g: Gradient, shape: tuple[int, ...], axis: Axis) -> Gradient:
    """The folded axes put back with size 1, so that `g` broadcasts against the input."""
    axes = folded(shape, axis)
    return np.reshape(g, tuple(1 if a in axes else n for a, n in enumerate(shape)))


def count(shape: tuple[int, ...], axis: Axis) -> int:
    return math.prod(shape[a] for a in folded(shape, axis))


def shared(g: Gradient, n: int) -> Gradient:
    """g / n, also of a float16 g, which holds no n above 65504."""
    return g * (1 / n) if n > _LARGEST and g.dtype == np.float16 else g / n


_LARGEST = 65504


def _sum(g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False) -> Gradient:
    return np.broadcast_to(unfold(g, x.shape, axis), x.shape)


def _mean(g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False) -> Gradient:
    return np.broadcast_to(unfold(shared(g, count(x.shape, axis)), x.shape, axis), x.shape)


def _centred(x: Any, axis: Axis) -> Any:
    return x - np.mean(x, axis=axis, keepdims=True)


def _var(
    g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False, correction: int = 0
) -> Gradient:
    return unfold(shared(g * 2, count(x.shape, axis) - correction), x.shape, axis) * _centred(x, axis)


def _std(
    g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False, correction: int = 0
) -> Gradient:
    # where all elements are equal the slope is undefined, and taken as 0: the rule of PyTorch
    spread = select(out != 0, g) / np.where(out == 0, 1.0, out)
    return unfold(shared(spread, count(x.shape, axis) - correction), x.shape, axis) * _centred(x, axis)


def _extreme(g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False) -> Gradient:
    """To the largest (or smallest), or to the NaN that the result is; equal ones share."""
    best = (x == unfold(out, x.shape, axis)) | (x != x)
    ties = np.sum(best, axis=axis, keepdims=True)
    return select(best, (unfold(g, x.shape, axis) / ties).astype(g.dtype))


def _prod(g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False) -> Gradient:
    """Each element gets the product of all others, which is right also where elements are zero."""
    axes = folded(x.shape, axis)
    order = (*(a for a in range(x.ndim) if a not in axes), *axes)
    moved = np.transpose(x, order)
    flat = np.reshape(moved, (*moved.shape[: x.ndim - len(axes)], count(x.shape, axis)))  # (..., n)
    others = before(flat) * np.flip(before(np.flip(flat, -1)), -1)
    back = np.transpose(np.reshape(others, moved.shape), tuple(np.argsort(order)))
    return unfold(g, x.shape, axis) * back


def _logsumexp(g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False) -> Gradient:
    """The softmax; of nothing but minus infinities nothing passes back."""
    total = unfold(np.where(out == -np.inf, 0.0, out), x.shape, axis)
    return unfold(g, x.shape, axis) * np.exp(x - total)


def _norm(g: Gradient, out: Gradient, x: Any, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Gradient:
    if ord == 1:
        return unfold(g, x.shape, axis) * np.sign(x)
    if ord == np.inf:
        return _extreme(g, out, np.abs(x), axis, keepdims) * np.sign(x)
    # a vector of zeros has no direction, and gets 0: the rule of PyTorch
    return unfold(select(out != 0, g) / np.where(out == 0, 1.0, out), x.shape, axis) * x


defvjp(tt.sum, _sum, keep=SHAPES)
defvjp(tt.mean, _mean, keep=SHAPES)
defvjp(tt.var, _var, keep=("inputs",))
defvjp(tt.std, _std)
defvjp(tt.max, _extreme)
defvjp(tt.min, _extreme)
defvjp(tt.prod, _prod, keep=("inputs",))
defvjp(tt.logsumexp, _logsumexp)
defvjp(tt.norm, _norm)
defconst(tt.any, tt.all, reason="the result is boolean")
defconst(tt.argmax, tt.argmin, tt.argsort, tt.topk_indices, tt.median_indices, reason="the result is a position")
