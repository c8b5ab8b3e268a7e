"""Operations that rearrange elements: the gradient is rearranged back."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import numpy as np

import tinytorch.tensor as tt

from ..registry import Gradient, defvjp
from .elementwise import SHAPES


def _pad(g: Gradient, out: Gradient, x: Any, width: Any, value: float = 0.0) -> Gradient:
    pairs = np.broadcast_to(width, (len(x.shape), 2))
    return g[tuple(slice(int(before), int(before) + n) for (before, _), n in zip(pairs, x.shape, strict=True))]


def _repeat(g: Gradient, out: Gradient, x: Any, repeats: Any, axis: int | None = None) -> Gradient:
    shape = x.shape if axis is not None else (math.prod(x.shape),)
    axis = (axis or 0) % len(shape)
    times = np.atleast_1d(np.asarray(repeats, np.intp))
    if len(times) == 1:
        side_by_side = np.reshape(g, (*shape[: axis + 1], int(times[0]), *shape[axis + 1 :]))
        return np.reshape(np.sum(side_by_side, axis=axis + 1), x.shape)
    places = np.repeat(np.arange(shape[axis]), times)
    total = tt.index_grad.lift(g, shape=shape, index=(slice(None),) * axis + (places,))
    return np.reshape(total, x.shape)


def _concat(g: Gradient, out: Gradient, *parts: Any, axis: int = 0) -> list[Gradient]:
    before = (slice(None),) * (axis % len(g.shape))
    ends = accumulate(part.shape[axis] for part in parts)
    return [g[(*before, slice(end - part.shape[axis], end))] for part, end in zip(parts, ends, strict=True)]


defvjp(tt.reshape, lambda g, out, x, shape: np.reshape(g, x.shape), keep=SHAPES)
defvjp(
    tt.permute,
    lambda g, out, x, axes: np.transpose(g, tuple(int(i) for i in np.argsort([a % len(axes) for a in axes]))),
    keep=SHAPES,
)
defvjp(tt.broadcast_to, lambda g, out, x, shape: g, keep=SHAPES)
defvjp(tt.flip, lambda g, out, x, axis=None: np.flip(g, axis), keep=SHAPES)
defvjp(tt.roll, lambda g, out, x, shift, axis=None: np.roll(g, (-np.asarray(shift)).tolist(), axis), keep=("params",))
defvjp(tt.repeat, _repeat, keep=("params",))
defvjp(tt.pad, _pad, keep=SHAPES)
defvjp(tt.tril, lambda g, out, x, diagonal=0: np.tril(g, diagonal), keep=SHAPES)
defvjp(tt.triu, lambda g, out, x, diagonal=0: np.triu(g, diagonal), keep=SHAPES)
defvjp(tt.concatenate, jointly=_concat, keep=SHAPES)
