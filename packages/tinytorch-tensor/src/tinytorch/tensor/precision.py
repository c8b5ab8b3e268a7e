"""Computing with more digits than the data has: float16 in float32, and sums of many numbers in blocks."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .dtypes import Array, float16, float32


def widen(x: Any) -> Any:
    """An array of float16 in float32; anything else as it is.

    >>> widen(np.ones(2, np.float16)).dtype, widen(np.ones(2)).dtype, widen(3)
    (dtype('float32'), dtype('float64'), 3)
    """
    return x.astype(float32) if isinstance(x, np.ndarray | np.generic) and x.dtype == float16 else x


def upcast(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward that gets its float16 inputs in float32. The result is rounded back when no input has more digits."""

    @functools.wraps(forward)
    def widened(*inputs: Any, **params: Any) -> Any:
        floats = [x.dtype for x in inputs if isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f"]
        if float16 not in floats:
            return forward(*inputs, **params)
        out = forward(*map(widen, inputs), **params)
        if np.result_type(*floats) != float16:
            return out
        return (_round(out[0]), out[1]) if isinstance(out, tuple) else _round(out)

    return widened


def _round(out: Any) -> Any:
    return out.astype(float16) if getattr(out, "dtype", None) is float32 else out


BLOCK, FEW = 32, 512
"""How many numbers are added one after the other, in sums of more than `FEW`."""


def adds_rows(x: Array, axis: int | tuple[int, ...] | None) -> bool:
    """Whether `np.add.reduce` might add more than `FEW` numbers of x one after the other."""
    # it adds contiguous numbers pairwise, but the rows of a matrix in their order: a million float32 0.1 are 100,958
    if axis is None or isinstance(axis, tuple):
        return x.dtype.kind == "f" and axis != () and not (axis is None and x.flags.forc)
    rows = -x.ndim <= axis < x.ndim and x.shape[axis] > FEW and x.strides[axis] != x.itemsize and axis is not True
    return rows and x.dtype.kind == "f"


def sum_in_blocks(x: Array, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    """The sum over `axis`, with an error that grows with the logarithm of the number of terms.

    Source: N. J. Higham, The accuracy of floating point summation, SIAM J. Sci. Comput. 14 (1993).

    >>> sum_in_blocks(np.full((1_000_000, 2), 0.1, np.float32), 0, keepdims=False).round()
    array([100000., 100000.], dtype=float32)
    """
    summed = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    axes = [*summed]
    shape = [1 if a in summed else n for a, n in enumerate(x.shape)]
    if x.flags.c_contiguous:  # neighbors that are both summed, or both kept, are one axis
        runs = [(away, [*run]) for away, run in itertools.groupby(range(x.ndim), summed.__contains__)]
        x = x.reshape([math.prod(x.shape[a] for a in run) for _, run in runs])
        axes = [place for place, (away, _) in enumerate(runs) if away]
    for each in sorted(axes, reverse=True):
        while x.shape[each] > FEW and x.strides[each] != x.itemsize:
            x = _sum_blocks(x, each)
        x = np.add.reduce(x, axis=each, keepdims=True)
    return x.reshape(shape) if keepdims else x.reshape([n for a, n in enumerate(shape) if a not in summed])


def _sum_blocks(x: Array, axis: int) -> Array:
    """The sums of `BLOCK` elements each along an axis, and of the rest."""
    whole = x.shape[axis] // BLOCK * BLOCK
    blocks = x[(slice(None),) * axis + (slice(whole),)]
    sums = np.add.reduce(blocks.reshape(*x.shape[:axis], -1, BLOCK, *x.shape[axis + 1 :]), axis=axis + 1)
    rest = np.add.reduce(x[(slice(None),) * axis + (slice(whole, None),)], axis=axis, keepdims=True)
    return np.concatenate([sums, rest], axis)
