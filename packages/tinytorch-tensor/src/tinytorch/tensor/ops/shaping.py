"""Operations that rearrange elements without computing on them."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..dispatch import primitive
from ..dtypes import Array, check_kept
from ..tensor import Axis, Tensor
from .reductions import axis_error, normal_axis


def as_shape(name: str, shape: Any) -> tuple[int, ...]:
    """`shape`, an int or ints, as a tuple of ints. Raises TypeError for anything else."""
    if isinstance(shape, np.ndarray | Tensor) and shape.ndim > 1:
        raise TypeError(f"{name}: sizes of shape {shape.shape}; a shape is a row of ints")
    sizes = tuple(shape) if isinstance(shape, tuple | list) or getattr(shape, "ndim", 0) == 1 else (shape,)
    for size in sizes:
        if isinstance(size, bool) or not _is_index(size):
            raise TypeError(f"{name}: {size!r} in shape {shape!r} is a {type(size).__name__}; a size is an int")
    return tuple(operator.index(size) for size in sizes)


def _is_index(size: Any) -> bool:
    try:
        operator.index(size)
    except TypeError:
        return False
    return True


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
        raise ValueError(
            f"reshape: {x.shape} has {x.size} elements, {sizes} asks for {wanted}; the number must stay the same"
        ) from None


@primitive
def permute(x: Array, /, axes: tuple[int, ...]) -> Array:
    """The axes in another order: axis i of the result is axis `axes[i]` of x."""
    try:
        return x.transpose(axes)
    except (ValueError, TypeError):
        raise ValueError(
            f"permute: axes {axes} for shape {x.shape}; every axis from 0 to {x.ndim - 1} must be named once"
        ) from None


def transpose(x: Any, d0: int = -2, d1: int = -1) -> Tensor:
    """Swap two axes.

    >>> transpose(Tensor([[1, 2, 3]]), 0, 1).shape
    (3, 1)
    """
    ndim = np.ndim(x)
    d0, d1 = normal_axis("transpose", x, d0), normal_axis("transpose", x, d1)
    axes = list(range(ndim))
    axes[d0], axes[d1] = d1, d0
    return permute(x, axes=tuple(axes))


def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """Drop axes of size 1: all of them, or those named. Raises ValueError when a named axis is longer."""
    shape = np.shape(x)
    axes = range(len(shape)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    chosen = {normal_axis("squeeze", x, a) for a in axes}
    if axis is not None and any(shape[a] != 1 for a in chosen):
        raise ValueError(f"squeeze: axis {axis} of shape {shape} is longer than 1; only axes of size 1 can be dropped")
    return reshape(x, shape=tuple(n for a, n in enumerate(shape) if not (a in chosen and n == 1)))


def unsqueeze(x: Any, axis: int) -> Tensor:
    """Insert an axis of size 1, so that it becomes axis `axis`."""
    shape = np.shape(x)
    place = normal_axis("unsqueeze", x, axis, extra=1)
    return reshape(x, shape=(*shape[:place], 1, *shape[place:]))


def flatten(x: Any, start: int = 0, end: int = -1) -> Tensor:
    """Join the axes from `start` to `end`, both included, into one."""
    shape = np.shape(x)
    if not shape:
        return reshape(x, shape=(1,))
    first, last = normal_axis("flatten", x, start), normal_axis("flatten", x, end)
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
        raise ValueError(
            f"broadcast_to: {x.shape} to {sizes}; aligned from the right, every size must be 1 or already right"
        ) from None


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
        raise ValueError(
            f"pad: width {width} for shape {x.shape}; give one (before, after) pair of sizes from 0 for each axis"
        ) from None


@primitive
def tril(x: Array, /, diagonal: int = 0) -> Array:
    """x with zeros above a diagonal of its last two axes."""
    return np.tril(_matrix("tril", x, diagonal), diagonal)


@primitive
def triu(x: Array, /, diagonal: int = 0) -> Array:
    """x with zeros below a diagonal of its last two axes."""
    return np.triu(_matrix("triu", x, diagonal), diagonal)


def _matrix(name: str, x: Array, diagonal: int) -> Array:
    if not hasattr(diagonal, "__index__"):
        raise TypeError(f"{name}: diagonal {diagonal!r} is a {type(diagonal).__name__}; it is an int, 0 the main one")
    if x.ndim < 2:
        raise ValueError(f"{name}: shape {x.shape} has no last two axes; a matrix or a stack of them is needed")
    return x


@primitive
def concat_parts(*parts: Any, axis: int = 0) -> Array:
    """What `concat` does with its list, as a primitive of any number of inputs."""
    try:
        return np.concatenate(parts, axis=axis)
    except (AxisError, TypeError):
        raise axis_error("concat", parts[0], axis) from None
    except ValueError:
        shapes = ", ".join(str(np.shape(part)) for part in parts)
        raise ValueError(
            f"concat: {shapes or 'no tensors'} along axis {axis}; all other axes must be equal, and there must be one"
        ) from None


def concat(tensors: Any, axis: int | None = 0) -> Tensor:
    """The tensors one after another along `axis`; with None, the elements of all of them in one row.

    >>> concat([Tensor([1, 2]), Tensor([3])])
    Tensor([1, 2, 3])
    """
    parts = _several("concat", tensors)
    if axis is None:
        return concat_parts(*(flatten(part) for part in parts), axis=0)
    return concat_parts(*parts, axis=axis)


def stack(tensors: Any, axis: int = 0) -> Tensor:
    """The tensors side by side along a new axis `axis`. Raises ValueError when their shapes differ."""
    parts = _several("stack", tensors)
    shapes = {np.shape(part) for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"stack: shapes {sorted(shapes)}; there must be one shape, the same for all")
    place = normal_axis("stack", parts[0], axis, extra=1)
    return concat_parts(*(unsqueeze(part, place) for part in parts), axis=place)


def _several(name: str, tensors: Any) -> list[Any]:
    try:
        return list(tensors)
    except TypeError:
        kind = type(tensors).__name__
        raise TypeError(f"{name}: the tensors are a {kind}; give several in a list or tuple") from None


def split(x: Any, sizes: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along `axis` into pieces of the given `sizes`, ints, or of one size each (the last may be smaller).

    >>> split(Tensor([1, 2, 3]), 2)
    (Tensor([1, 2]), Tensor([3]))
    """
    place = normal_axis("split", x, axis)
    total = np.shape(x)[place]
    if isinstance(sizes, bool | float | str | np.floating):
        raise TypeError(f"split: pieces of {sizes!r}; give the size of all pieces, an int, or a list of their sizes")
    if np.ndim(sizes) == 0:
        size = int(sizes)
        if size < 1:
            raise ValueError(f"split: pieces of {size}; a piece needs at least one element")
        sizes = [min(size, total - start) for start in range(0, total, size)] or [0]
    sizes = as_shape("split", list(sizes))
    if sum(sizes) != total or min(sizes, default=0) < 0:
        raise ValueError(f"split: sizes {list(sizes)} do not add up to the {total} elements of axis {axis}")
    x = x if isinstance(x, Tensor) else Tensor(x)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(x[(slice(None),) * place + (slice(start, start + size),)])
        start += size
    return tuple(pieces)
