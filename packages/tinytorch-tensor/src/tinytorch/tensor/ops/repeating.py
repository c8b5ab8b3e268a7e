"""Elements turned round an axis, and repeated along it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..dispatch import primitive
from ..dtypes import Array, Axis
from ..tensor import Tensor
from .reductions import axis_error, normalize_axis
from .shaping import as_shape, broadcast_to, reshape

__all__ = ["repeat", "roll", "tile"]


@primitive
def roll(x: Array, /, shift: int | tuple[int, ...], axis: Axis = None) -> Array:
    """The elements `shift` places further along `axis`, the last ones first; without `axis`, as if in one row.

    >>> roll(Tensor([1, 2, 3]), 1)
    Tensor([3, 1, 2])
    """
    as_shape("roll", shift)
    try:
        return np.roll(x, shift, axis)
    except (AxisError, TypeError):
        raise axis_error("roll", x, axis) from None
    except ValueError:
        raise ValueError(f"roll: by {shift} along {axis}; give one shift for all axes, or one for each") from None


@primitive
def repeat(x: Array, /, repeats: Any, axis: int | None = None) -> Array:
    """Each element of `axis` so many times, one after the other; without `axis`, of all in one row.

    `repeats` is one number, or one for each element. (PyTorch's `repeat` is `tile`; its name for this one is longer.)

    >>> repeat(Tensor([1, 2]), 2), repeat(Tensor([1, 2]), [1, 3])
    (Tensor([1, 1, 2, 2]), Tensor([1, 2, 2, 2]))
    """
    n = np.size(x) if axis is None else np.shape(x)[normalize_axis("repeat", x, axis)]
    times = as_shape("repeat", repeats)
    if min(times, default=0) < 0 or len(times) not in (1, n):
        raise ValueError(f"repeat: {times} times for {n} elements; give one number from 0, or one for each")
    return np.repeat(x, times[0] if len(times) == 1 else np.array(times, np.intp), axis)


def tile(x: Any, *repeats: Any) -> Tensor:
    """x side by side with itself so many times along each axis; fewer numbers than axes are for the last of them.

    >>> tile(Tensor([1, 2]), 2), tile(Tensor([1, 2]), (2, 1)).shape
    (Tensor([1, 2, 1, 2]), (2, 2))
    """
    times = as_shape("tile", repeats[0] if len(repeats) == 1 else repeats)
    if min(times, default=0) < 0:
        raise ValueError(f"tile: {times} times; a number of times is not negative")
    shape = np.shape(x)
    ndim = max(len(times), len(shape))
    times, shape = (1,) * (ndim - len(times)) + times, (1,) * (ndim - len(shape)) + shape
    apart = reshape(x, shape=tuple(size for n in shape for size in (1, n)))  # (n, m) -> (1, n, 1, m)
    apart = broadcast_to(apart, shape=tuple(size for pair in zip(times, shape, strict=True) for size in pair))
    return reshape(apart, shape=tuple(t * n for t, n in zip(times, shape, strict=True)))
