"""Operations that fold an axis: each takes `axis` (None for all, an int, or several) and `keepdims`."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..dispatch import Explain, primitive
from ..dtypes import Array
from ..tensor import Axis, Tensor

# a reduction by its universal function skips two Python calls of np.sum and its like; the stubs want a literal keepdims
_sum: Any = np.add.reduce
_prod: Any = np.multiply.reduce
_max: Any = np.maximum.reduce
_min: Any = np.minimum.reduce
_any: Any = np.logical_or.reduce
_all: Any = np.logical_and.reduce


def axis_error(name: str, x: Any, axis: Any, extra: int = 0) -> Exception:
    """The error for an axis that `x` (with `extra` axes more) does not have, or that is no axis at all."""
    shape = np.shape(x)
    ndim = len(shape) + extra
    axes = axis if isinstance(axis, tuple) else (axis,)
    for each in axes:
        if isinstance(each, bool | Tensor) or not hasattr(each, "__index__"):
            kind = type(each).__name__
            return TypeError(f"{name}: axis {axis!r} is a {kind}; an axis is an int, a tuple to fold several")
    if builtins.all(-ndim <= each < ndim for each in axes):
        return ValueError(f"{name}: axis {axis} for shape {shape}; name one axis, or different ones to fold several")
    if not ndim:
        return AxisError(f"{name}: axis {axis} is out of range for shape (); a 0-dimensional tensor has no axes")
    where = "a new one goes in at" if extra else "it has axes"
    return AxisError(
        f"{name}: axis {axis} is out of range for shape {shape}; {where} 0 to {ndim - 1}, or -{ndim} to -1"
    )


def normal_axis(name: str, x: Any, axis: int, extra: int = 0) -> int:
    """`axis` counted from the front. Raises AxisError when `x` (with `extra` axes more) does not have it."""
    ndim = np.ndim(x) + extra
    if isinstance(axis, bool) or not hasattr(axis, "__index__") or not -ndim <= axis < ndim:
        raise axis_error(name, x, axis, extra)
    return axis % ndim


def explain(name: str) -> Explain:
    """What to say about a wrong axis, or about an axis with nothing along it."""

    def better(error: Exception, x: Array, *, axis: Axis = None, **params: Any) -> Exception | None:
        text = str(error)
        if "unexpected keyword" in text:
            return None
        if isinstance(error, TypeError) and (axis is None or type(axis) is int):
            return TypeError(f"{name}: {text}")
        if isinstance(error, AxisError | TypeError) or "duplicate" in text:
            return axis_error(name, x, axis)
        if "zero-size" in text or "empty sequence" in text:
            return ValueError(f"{name}: shape {x.shape} has nothing along axis {axis}; no elements have no {name}")
        return None

    return better


@primitive(explain=explain("sum"))
def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over `axis`.

    >>> sum(Tensor([[1, 2], [3, 4]]), axis=0)
    Tensor([4, 6])
    """
    return _sum(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("prod"))
def prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The product over `axis`."""
    return _prod(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("mean"))
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over `axis`; of integers, a float."""
    return np.mean(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("var"))
def var(x: Array, /, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Array:
    """The mean squared distance from the mean over `axis`, divided by n - correction (as in NumPy, 0 unless asked)."""
    return np.var(x, axis=axis, keepdims=keepdims, ddof=correction)


@primitive(explain=explain("std"))
def std(x: Array, /, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Array:
    """The square root of `var`."""
    return np.std(x, axis=axis, keepdims=keepdims, ddof=correction)


@primitive(explain=explain("max"))
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element over `axis`; NaN where there is one."""
    return _max(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("min"))
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest element over `axis`; NaN where there is one."""
    return _min(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("any"))
def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any element over `axis` is true."""
    return _any(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("all"))
def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether all elements over `axis` are true."""
    return _all(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("argmax"))
def argmax(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """Where the largest element over `axis` is, the first of equals."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("argmin"))
def argmin(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """Where the smallest element over `axis` is, the first of equals."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("cumsum"))
def cumsum(x: Array, /, axis: int | None = None) -> Array:
    """The running sum along `axis`, or of all elements in one row."""
    return np.cumsum(x, axis=axis)


@primitive(explain=explain("argsort"))
def argsort(x: Array, /, axis: int | None = -1, descending: bool = False) -> Array:
    """The indices that sort `axis`, equal elements in their order."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # sorting the mirror image and mirroring back keeps equal elements in their order
    mirrored = np.flip(x, axis)
    order = np.flip(np.argsort(mirrored, axis=axis, kind="stable"), axis=axis)
    return x.shape[axis] - 1 - order


def sort(x: Any, axis: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """The elements of `axis` in order, and the indices they came from.

    >>> sort(Tensor([3, 1, 2]))
    (Tensor([1, 2, 3]), Tensor([1, 2, 0]))
    """
    from .indexing import gather

    axis = normal_axis("sort", x, axis)
    order = argsort(x, axis=axis, descending=descending)
    return gather(x, order, axis=axis), order


def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The `k` largest (or smallest) elements of `axis`, best first, and their indices.

    Raises ValueError when the axis has fewer than `k` elements.

    >>> topk(Tensor([1, 5, 3]), 2)
    (Tensor([5, 3]), Tensor([1, 2]))
    """
    from .indexing import gather

    best = topk_indices(x, k=k, axis=axis, largest=largest)
    return gather(x, best, axis=axis), best


@primitive
def topk_indices(x: Array, /, k: int, axis: int = -1, largest: bool = True) -> Array:
    """Where the `k` largest (or smallest) elements of `axis` are, best first, the first of equals first."""
    axis = normal_axis("topk", x, axis)
    if isinstance(k, bool) or not hasattr(k, "__index__"):
        raise TypeError(f"topk: k = {k!r} is a {type(k).__name__}; it is an int, how many elements to take")
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"topk: k = {k} of {x.shape[axis]} elements along axis {axis}; k must lie between 0 and that")
    if x.shape[axis] < 1000 or not 0 < k < x.shape[axis] // 8:
        order = argsort.forward(x, axis=axis, descending=largest)
        return np.take(order, np.arange(k), axis=axis)
    rows = np.moveaxis(x, axis, -1)
    out = np.empty((*rows.shape[:-1], k), np.int64)
    for place in np.ndindex(rows.shape[:-1]):
        out[place] = _few(rows[place], k, largest)
    return np.moveaxis(out, -1, axis)


def _few(row: Array, k: int, largest: bool) -> Array:
    """`topk_indices` of one long row: only what reaches the k-th element is sorted, its equals and NaN included."""
    last = len(row) - k if largest else k - 1
    edge = np.partition(row, last)[last]
    near = np.flatnonzero(~(row < edge) if largest else ~(row > edge))
    return near[argsort.forward(row[near], descending=largest)[:k]]
