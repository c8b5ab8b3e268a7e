"""Operations that rearrange elements without computing on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..checks import check_int
from ..dispatch import primitive
from ..dtypes import Array, Axis, check_kept
from ..errors import ShapeError
from ..tensor import Tensor
from .reductions import axis_error, normalize_axis

__all__ = [
    "broadcast_to", "expand", "flatten", "flip", "moveaxis", "pad", "permute", "reshape", "squeeze", "swapaxes",
    "transpose", "unsqueeze",
]  # fmt: skip


def as_shape(name: str, shape: Any) -> tuple[int, ...]:
    """`shape`, an int or ints, as a tuple of ints. Raises TypeError for anything else."""
    if isinstance(shape, np.ndarray | Tensor):
        if shape.ndim > 1:
            raise TypeError(f"{name}: sizes of shape {shape.shape}; a shape is a row of ints")
        if shape.dtype.kind in "iu":
            return tuple(np.asarray(shape).reshape(-1).tolist())
    sizes = tuple(shape) if isinstance(shape, tuple | list) or getattr(shape, "ndim", 0) == 1 else (shape,)
    return tuple([check_int(name, f"a size in {shape!r}", size, minimum=None) for size in sizes])


@primitive
def reshape(x: Array, /, shape: Any) -> Array:
    """The same elements in another shape; one size may be -1.

    >>> reshape(Tensor([[1, 2], [3, 4]]), shape=(4,))
    Tensor([1, 2, 3, 4])
    """
    try:
        return x.reshape(shape if shape is not None else as_shape("reshape", shape))
    except (ValueError, TypeError):
        sizes = as_shape("reshape", shape)
        if sizes.count(-1) > 1:
            raise ValueError(f"reshape: {x.shape} to {sizes}; only one size may be -1") from None
        wanted = ("a multiple of " if -1 in sizes else "") + str(abs(math.prod(sizes)))
        raise ShapeError(
            f"reshape: {x.shape} has {x.size} elements, {sizes} asks for {wanted}; the number must stay the same"
        ) from None


@primitive
def permute(x: Array, /, axes: tuple[int, ...]) -> Array:
    """The axes in another order: axis i of the result is axis `axes[i]` of x."""
    try:
        return x.transpose(axes)
    except (ValueError, TypeError):
        raise ValueError(f"permute: axes {axes} of {x.shape}; name every axis from 0 to {x.ndim - 1} once") from None


def transpose(x: Any, d0: int = -2, d1: int = -1) -> Tensor:
    """Swap two axes.

    >>> transpose(Tensor([[1, 2, 3]]), 0, 1).shape
    (3, 1)
    """
    d0, d1 = normalize_axis("transpose", x, d0), normalize_axis("transpose", x, d1)
    axes = list(range(np.ndim(x)))
    axes[d0], axes[d1] = d1, d0
    return permute(x, axes=tuple(axes))


def swapaxes(x: Any, d0: int, d1: int) -> Tensor:
    """Swap two axes: `transpose` by NumPy's name.

    >>> swapaxes(Tensor([[1, 2, 3]]), 0, 1).shape
    (3, 1)
    """
    return transpose(x, d0, d1)


def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """The axes `source`, one or several, moved to the places `destination`; the others keep their order.

    >>> moveaxis(Tensor([[[1], [2], [3]]]), 0, -1).shape
    (3, 1, 1)
    """
    moved = [normalize_axis("moveaxis", x, axis) for axis in np.atleast_1d(source).tolist()]
    places = [normalize_axis("moveaxis", x, axis) for axis in np.atleast_1d(destination).tolist()]
    if len(set(moved)) != len(moved) or len(set(places)) != len(moved):
        raise ValueError(f"moveaxis: from {source} to {destination}; name each axis once, and a place for each")
    axes = [axis for axis in range(np.ndim(x)) if axis not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        axes.insert(place, axis)
    return permute(x, axes=tuple(axes))


def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """Drop axes of size 1: all of them, or those named. Raises ValueError when a named axis is longer."""
    shape = np.shape(x)
    axes = range(len(shape)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    chosen = {normalize_axis("squeeze", x, a) for a in axes}
    if axis is not None and any(shape[a] != 1 for a in chosen):
        raise ShapeError(f"squeeze: axis {axis} of shape {shape} is longer than 1; only axes of size 1 can be dropped")
    return reshape(x, shape=tuple(n for a, n in enumerate(shape) if not (a in chosen and n == 1)))


def unsqueeze(x: Any, axis: int) -> Tensor:
    """Insert an axis of size 1, so that it becomes axis `axis`."""
    shape = np.shape(x)
    place = normalize_axis("unsqueeze", x, axis, extra=1)
    return reshape(x, shape=(*shape[:place], 1, *shape[place:]))


def flatten(x: Any, start: int = 0, end: int = -1) -> Tensor:
    """Join the axes from `start` to `end`, both included, into one."""
    shape = np.shape(x)
    if not shape:
        return reshape(x, shape=(1,))
    first, last = normalize_axis("flatten", x, start), normalize_axis("flatten", x, end)
    if first > last:
        raise ValueError(f"flatten: axis {start} comes after axis {end} in shape {shape}; start at the earlier one")
    return reshape(x, shape=(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@primitive
def broadcast_to(x: Array, /, shape: tuple[int, ...]) -> Array:
    """x repeated, without copying, to `shape`."""
    try:
        return np.broadcast_to(x, shape)
    except (ValueError, TypeError):
        sizes = as_shape("broadcast_to", shape)
        raise ShapeError(f"broadcast_to: {x.shape} to {sizes}; from the right, sizes must be 1 or equal") from None


def expand(x: Any, *shape: Any) -> Tensor:
    """x repeated, without copying, to `shape`, where -1 keeps a size."""
    sizes = as_shape("expand", shape[0] if len(shape) == 1 else shape)
    own = np.shape(x)
    new = len(sizes) - len(own)
    kept = [own[i - new] if size == -1 and i >= new else size for i, size in enumerate(sizes)]
    return broadcast_to(x, shape=tuple(kept))


@primitive
def flip(x: Array, /, axis: Axis = None) -> Array:
    """The elements of `axis` in reverse order."""
    try:
        return np.flip(x, axis)
    except (AxisError, TypeError):
        raise axis_error("flip", x, axis) from None


@primitive
def pad(x: Array, /, width: Any, value: float = 0.0) -> Array:
    """`value` written around x; `width` is (before, after) for every axis, one pair for all, or one number for all.

    >>> pad(Tensor([1, 2]), width=(1, 0))
    Tensor([0, 1, 2])
    """
    if not isinstance(value, int | float | np.generic):
        raise TypeError(f"pad: the value {value!r} is a {type(value).__name__}; it is one number for all places")
    check_kept("pad", value, x.dtype)
    try:
        return np.pad(x, width, constant_values=value)
    except (ValueError, TypeError):
        raise ValueError(f"pad: width {width} for shape {x.shape}; give (before, after) from 0 for each axis") from None
