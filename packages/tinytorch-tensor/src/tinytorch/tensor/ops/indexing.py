"""Reading and writing some of the elements, and the sums that their gradients are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import primitive
from ..dtypes import Array, check_kept
from ..mutation import note_write
from ..tensor import Tensor
from .reductions import axis_error


def plain(index: Any) -> Any:
    """An index as NumPy wants it: tensors in it become arrays, lists stay what they are."""
    if isinstance(index, tuple):
        return tuple(plain(part) for part in index)
    return index.data if isinstance(index, Tensor) else index


def is_basic(index: Any) -> bool:
    """Whether an index is made of ints, slices, ... and None only: it selects a view, and no element twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or (isinstance(part, int | np.integer | slice) and not isinstance(part, bool))
        for part in parts
    )


def _index_error(name: str, x: Array, index: Any, error: Exception) -> Exception:
    text = str(error)
    if "only integers" in text or "arrays used as indices" in text:
        return IndexError(
            f"{name}: {index!r} cannot index shape {x.shape}; "
            "an index is made of ints, slices, ..., None, integer or boolean arrays"
        )
    return IndexError(f"{name}: {text}; the shape is {x.shape}")


@primitive
def getitem(x: Array, /, index: Any) -> Array:
    """x[index], basic (a view) or advanced (a copy), as in NumPy."""
    try:
        return np.asarray(x[plain(index)])
    except (IndexError, TypeError, ValueError) as error:
        raise _index_error("getitem", x, index, error) from None


@primitive
def unindex(g: Array, /, shape: tuple[int, ...], index: Any) -> Array:
    """Zeros of `shape` with `g` added at `index`: what `getitem` took, put back; elements taken twice are summed."""
    index = plain(index)
    out = np.zeros(shape, g.dtype)
    if is_basic(index) or (isinstance(index, np.ndarray) and index.dtype.kind == "b"):  # no element is taken twice
        out[index] = g
    elif isinstance(index, np.ndarray) and index.dtype.kind in "iu" and len(shape) > 1:
        return add_rows(out, index, g)
    else:
        np.add.at(out, index, g)
    return out


def add_rows(out: Array, index: Array, rows: Array) -> Array:
    """Add `rows` (index.shape + out.shape[1:]) to those rows of `out` that `index` names, in place; repeats are summed.

    Sorting brings equal indices together, and `reduceat` sums each run: `np.add.at` takes many times as long.
    """
    flat = index.reshape(-1) % out.shape[0]
    if flat.size == 0:
        return out
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    rows = rows.reshape(flat.size, *out.shape[1:])
    out[ordered[starts]] += np.add.reduceat(rows[order], starts, axis=0)
    return out


@primitive
def setitem(x: Array, value: Any, /, index: Any) -> Array:
    """Write `value` into x at `index`, in place."""
    if not x.flags.writeable:
        raise ValueError(f"setitem: this tensor of shape {x.shape} is a read-only view; write to a .copy() of it")
    check_kept("setitem", value, x.dtype)
    try:
        x[plain(index)] = value
    except (IndexError, TypeError) as error:
        raise _index_error("setitem", x, index, error) from None
    except ValueError:
        place = x[plain(index)].shape
        raise ValueError(f"setitem: a value of shape {np.shape(value)} does not fit a place of shape {place}") from None
    note_write(x)
    return x


def _places(name: str, x: Array, index: Array, axis: int) -> tuple[Array, ...]:
    """The index of x that names, for every place of `index`, the element of `axis` that stands there."""
    x, index = np.asarray(x), np.asarray(index)
    if isinstance(axis, bool) or not hasattr(axis, "__index__") or not -x.ndim <= axis < x.ndim:
        raise axis_error(name, x, axis)
    if index.dtype.kind not in "iu":
        raise TypeError(f"{name}: indices of dtype {index.dtype}; they must be integers, use astype(int64)")
    if index.ndim != x.ndim:
        raise ValueError(f"{name}: index of shape {index.shape} for shape {x.shape}; both need the same number of axes")
    n = x.shape[axis]
    if index.size and (index.min() < -n or index.max() >= n):
        raise IndexError(f"{name}: indices from {index.min()} to {index.max()} for {n} elements along axis {axis}")
    axis = axis % x.ndim
    if any(have > n for i, (have, n) in enumerate(zip(index.shape, x.shape, strict=True)) if i != axis):
        raise ValueError(f"{name}: index of shape {index.shape} for shape {x.shape}; only axis {axis} may be longer")
    places: list[Array] = list(np.indices(index.shape, sparse=True))
    places[axis] = index
    return tuple(places)


@primitive
def gather(x: Array, index: Array, /, axis: int) -> Array:
    """`out[i, j] = x[index[i, j], j]` for axis 0, and so on: an element of `axis` for every place of `index`.

    `index` may be shorter than x along the other axes.

    >>> gather(Tensor([[1, 2], [3, 4]]), Tensor([[0], [1]]), axis=1)
    Tensor([[1],
            [4]])
    """
    return np.asarray(x)[_places("gather", x, index, axis)]


@primitive
def scatter_add(x: Array, index: Array, source: Array, /, axis: int) -> Array:
    """x with `out[index[i, j], j] += source[i, j]` for axis 0, and so on; places named twice get the sum."""
    places = _places("scatter_add", x, index, axis)
    if np.shape(index) != np.shape(source):
        shapes = f"index {np.shape(index)} and source {np.shape(source)}"
        raise ValueError(f"scatter_add: {shapes}; the shapes must be equal")
    out = np.array(x, np.result_type(x, source))
    np.add.at(out, places, source)
    return out
