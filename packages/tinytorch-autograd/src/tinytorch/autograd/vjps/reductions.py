"""Reductions and running sums: the gradient of a result passes back to every element that it was computed from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinytorch.tensor as tt

from ..registry import Gradient, defconst, defvjp
from .elementwise import INPUTS, SHAPES, select

Axis = Any


def reduced_axes(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The axes that were reduced, counted from the front."""
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(a % len(shape) for a in axes)


def expand(g: Gradient, shape: tuple[int, ...], axis: Axis) -> Gradient:
    """`g` with the reduced axes put back, of size 1, so that it broadcasts against the input."""
    axes = reduced_axes(shape, axis)
    return np.reshape(g, tuple(1 if a in axes else n for a, n in enumerate(shape)))


def spread(g: Gradient, shape: tuple[int, ...], axis: Axis) -> Gradient:
    """`g` for every element that was reduced to one."""
    return np.broadcast_to(expand(g, shape, axis), shape)


def share(g: Gradient, shape: tuple[int, ...], axis: Axis, correction: int = 0) -> Gradient:
    """`g` over the number of elements that were reduced to one, minus `correction`."""
    n = math.prod(shape[a] for a in reduced_axes(shape, axis)) - correction
    return g * (1 / n) if n > 65504 and g.dtype == np.float16 else g / n  # float16 holds the inverse of such a number


def over(g: Gradient, out: Gradient) -> Gradient:
    """g / out, and 0 where out is 0: PyTorch's rule for the slope of a root at 0."""
    return select(out != 0, g) / np.where(out == 0, 1.0, out)


def _var(g: Gradient, out: Any, x: Any, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Gradient:
    return expand(share(g * 2, x.shape, axis, correction), x.shape, axis) * (x - np.mean(x, axis=axis, keepdims=True))


def _std(g: Gradient, out: Any, x: Any, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Gradient:
    return _var(over(g * 0.5, out), None, x, axis, keepdims, correction)


def _extreme(g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False) -> Gradient:
    """To the largest (or smallest) elements, which share it equally, or to the NaN that the result is."""
    best = (x == expand(out, x.shape, axis)) | (x != x)
    ties = np.sum(best, axis=axis, keepdims=True)
    return select(best, (expand(g, x.shape, axis) / ties).astype(g.dtype))


def _prod(g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False) -> Gradient:
    """Each element gets the product of all others, which is right also where elements are zero."""
    axes = reduced_axes(x.shape, axis)
    order = (*(a for a in range(x.ndim) if a not in axes), *axes)
    moved = np.transpose(x, order)
    flat = np.reshape(moved, (*moved.shape[: x.ndim - len(axes)], math.prod(x.shape[a] for a in axes)))  # (..., n)
    others = before(flat) * np.flip(before(np.flip(flat, -1)), -1)
    back = np.transpose(np.reshape(others, moved.shape), tuple(np.argsort(order)))
    return expand(g, x.shape, axis) * back


def _logsumexp(g: Gradient, out: Gradient, x: Any, axis: Axis = None, keepdims: bool = False) -> Gradient:
    """The softmax; nothing passes back to elements that are all minus infinity."""
    total = expand(np.where(out == -np.inf, 0.0, out), x.shape, axis)
    return expand(g, x.shape, axis) * np.exp(x - total)


def _norm(g: Gradient, out: Gradient, x: Any, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Gradient:
    if ord == 1:
        return expand(g, x.shape, axis) * np.sign(x)
    if ord == np.inf:
        return _extreme(g, out, np.abs(x), axis, keepdims) * np.sign(x)
    return expand(over(g, out), x.shape, axis) * x


def before(x: Any) -> Any:
    """For each element of the last axis the product of those before it, in log n steps that double their reach."""
    n, reach = x.shape[-1], 1
    running = np.concatenate([np.ones_like(x[..., :1]), x[..., :-1]], axis=-1) if n else x
    while reach < n:
        running = np.concatenate([running[..., :reach], running[..., reach:] * running[..., :-reach]], axis=-1)
        reach *= 2
    return running


def _from_behind(g: Gradient, x: Any) -> Gradient:
    """s with s[k] = g[k] + x[k + 1] * s[k + 1] along the last axis, in log n steps that double their reach."""
    n, reach = x.shape[-1], 1
    factor = x[..., 1:]
    while reach < n:
        g = np.concatenate([g[..., :-reach] + factor * g[..., reach:], g[..., -reach:]], axis=-1)
        factor = factor[..., :-reach] * factor[..., reach:]
        reach *= 2
    return g


def _cumsum(g: Gradient, out: Gradient, x: Any, axis: int | None = None) -> Gradient:
    return np.reshape(np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis), x.shape)


def _cumprod(g: Gradient, out: Gradient, x: Any, axis: int | None = None) -> Gradient:
    """The product of all before an element times what comes of those behind it: right also where elements are zero."""
    if axis is None:
        return np.reshape(_cumprod(g, out, np.reshape(x, (-1,)), 0), x.shape)
    x, g = np.moveaxis(x, axis, -1), np.moveaxis(g, axis, -1)
    return np.moveaxis(before(x) * _from_behind(g, x), -1, axis)


defvjp(tt.sum, lambda g, out, x, axis=None, keepdims=False: spread(g, x.shape, axis), keep=SHAPES)
defvjp(
    tt.mean, lambda g, out, x, axis=None, keepdims=False: spread(share(g, x.shape, axis), x.shape, axis), keep=SHAPES
)
defvjp(tt.var, _var, keep=INPUTS)
defvjp(tt.std, _std)
defvjp(tt.max, _extreme)
defvjp(tt.min, _extreme)
defvjp(tt.prod, _prod, keep=INPUTS)
defvjp(tt.cumsum, _cumsum, keep=SHAPES)
defvjp(tt.cumprod, _cumprod, keep=INPUTS)
defvjp(tt.logsumexp, _logsumexp)
defvjp(tt.norm, _norm)
defconst(tt.any, tt.all, reason="the result is boolean")
defconst(tt.argmax, tt.argmin, tt.argsort, tt.argtopk, tt.argmedian, reason="the result is a position")
