"""Running sums and products: an element passes on to every later one."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinytorch.tensor as tt

from ..registry import Gradient, defvjp
from .elementwise import SHAPES


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


defvjp(tt.cumsum, _cumsum, keep=SHAPES)
defvjp(tt.cumprod, _cumprod, keep=("inputs",))
