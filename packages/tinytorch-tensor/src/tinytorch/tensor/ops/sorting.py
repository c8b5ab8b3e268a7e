"""Elements in order, and where they stood before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..checks import check_int
from ..dispatch import primitive
from ..dtypes import Array, Axis
from ..errors import ShapeError
from ..tensor import Tensor
from .indexing import gather
from .reductions import axis_error, explain, mean, normalize_axis
from .shaping import moveaxis, reshape

__all__ = ["argmedian", "argsort", "argtopk", "median", "sort", "topk"]


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
    axis = normalize_axis("sort", x, axis)
    order = argsort(x, axis=axis, descending=descending)
    return gather(x, order, axis=axis), order


def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The `k` largest (or smallest) elements of `axis`, best first, and their indices.
    Raises ValueError when the axis has fewer than `k` elements.

    >>> topk(Tensor([1, 5, 3]), 2)
    (Tensor([5, 3]), Tensor([1, 2]))
    """
    best = argtopk(x, k=k, axis=axis, largest=largest)
    return gather(x, best, axis=axis), best


@primitive
def argtopk(x: Array, /, k: int, axis: int = -1, largest: bool = True) -> Array:
    """Where the `k` largest (or smallest) elements of `axis` are, best first, the first of equals first."""
    axis = normalize_axis("topk", x, axis)
    k = check_int("topk", "k", k)
    if k > x.shape[axis]:
        raise ValueError(f"topk: k = {k} of {x.shape[axis]} elements along axis {axis}; k must lie between 0 and that")
    if x.shape[axis] < 1000 or not 0 < k < x.shape[axis] // 8:
        order = argsort.forward(x, axis=axis, descending=largest)
        return np.take(order, np.arange(k), axis=axis)
    rows = np.moveaxis(x, axis, -1)
    out = np.empty((*rows.shape[:-1], k), np.int64)
    for place in np.ndindex(rows.shape[:-1]):
        out[place] = _argtopk_of_row(rows[place], k, largest)
    return np.moveaxis(out, -1, axis)


def _argtopk_of_row(row: Array, k: int, largest: bool) -> Array:
    """`argtopk` of one long row: only what reaches the k-th element is sorted, its equals and NaN included."""
    last = len(row) - k if largest else k - 1
    edge = np.partition(row, last)[last]
    near = np.flatnonzero(~(row < edge) if largest else ~(row > edge))
    return near[argsort.forward(row[near], descending=largest)[:k]]


def median(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The middle element over `axis`, the mean of the middle two of an even number; NaN where there is one.

    Where PyTorch takes the lower of the two, this is NumPy's median.

    >>> median(Tensor([5.0, 1.0, 2.0, 100.0]))
    Tensor(3.5)
    """
    if axis is None or isinstance(axis, tuple):
        shape = np.shape(x)
        reduced = [normalize_axis("median", x, each) for each in (range(len(shape)) if axis is None else axis)]
        if len(set(reduced)) != len(reduced):
            raise axis_error("median", x, axis)
        rest = [n for a, n in enumerate(shape) if a not in reduced]
        rows = moveaxis(x, reduced, range(-len(reduced), 0))
        found = median(reshape(rows, shape=(*rest, math.prod(shape[a] for a in reduced))), -1)
        return reshape(found, shape=tuple(1 if a in reduced else n for a, n in enumerate(shape))) if keepdims else found
    middle = gather(x, argmedian(x, axis=axis), axis=axis)
    return mean(middle, axis=axis, keepdims=keepdims)


@primitive
def argmedian(x: Array, /, axis: int) -> Array:
    """The indices along `axis` of the one or two elements that the median is the mean of, or of a NaN."""
    x, axis = np.asarray(x), normalize_axis("median", x, axis)
    n = x.shape[axis]
    if not n:
        raise ShapeError(f"median: shape {x.shape} has nothing along axis {axis}; no elements have no median")
    low, high = (n - 1) // 2, n // 2
    order = np.argpartition(x, [low, high, n - 1], axis=axis)
    last = np.take(order, [n - 1], axis=axis)  # a NaN, if there is any
    middle = np.take(order, np.unique([low, high]), axis=axis)
    return np.where(np.isnan(np.take_along_axis(x, last, axis)), last, middle)
