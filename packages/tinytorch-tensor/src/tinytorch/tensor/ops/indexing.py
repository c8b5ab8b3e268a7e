"""Reading and writing some of the elements, and the sums that their gradients are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import primitive
from ..dtypes import Array, check_kept
from ..errors import DTypeError, ShapeError
from ..mutation import note_write
from ..tensor import Tensor, unwrap
from .elementwise import where
from .reductions import normalize_axis
from .shaping import flatten

__all__ = ["argwhere", "gather", "getitem", "index_grad", "masked_fill", "nonzero", "scatter_add", "setitem", "take"]


def unwrap_index(index: Any) -> Any:
    """An index as NumPy wants it: tensors in it become arrays, lists stay what they are."""
    if isinstance(index, tuple):
        return tuple(unwrap_index(part) for part in index)
    return unwrap(index)


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
        return np.asarray(x[unwrap_index(index)])
    except (IndexError, TypeError, ValueError) as error:
        raise _index_error("getitem", x, index, error) from None


@primitive(upcast=True)
def index_grad(g: Array, /, shape: tuple[int, ...], index: Any) -> Array:
    """Zeros of `shape` with `g` added at `index`: what `getitem` took, put back; elements taken twice are summed."""
    index = unwrap_index(index)
    out = np.zeros(shape, g.dtype)
    *before, last = index if isinstance(index, tuple) and index else (index,)
    if is_basic(index) or (isinstance(index, np.ndarray) and index.dtype.kind == "b"):  # no element is taken twice
        out[index] = g
    elif isinstance(last, np.ndarray) and last.dtype.kind in "iu" and len(shape) > 1 and _all_of(before):
        axis = len(before)
        add_rows(np.moveaxis(out, axis, 0), last, np.moveaxis(g, range(axis), range(last.ndim, last.ndim + axis)))
    else:
        np.add.at(out, index, g)
    return out


def _all_of(index: list[Any]) -> bool:
    return all(isinstance(part, slice) and part == slice(None) for part in index)


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


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The elements of `axis` at `indices`; their shape replaces that axis. Without `axis`, x counts as one row.

    >>> take(Tensor([[1, 2], [3, 4]]), [1, 1, 0], axis=1).tolist()
    [[2, 2, 1], [4, 4, 3]]
    """
    if axis is None:
        x, axis = flatten(x), 0
    chosen = indices if isinstance(indices, Tensor) else np.asarray(indices)
    if chosen.dtype.kind not in "iu":
        if chosen.size:
            raise DTypeError(f"take: indices of dtype {chosen.dtype}; they must be integers, and x[mask] takes a mask")
        chosen = chosen.astype(np.int64)
    place = normalize_axis("take", x, axis)
    _check_range("take", unwrap_index(chosen), np.shape(x)[place], axis)
    return getitem(x, index=(slice(None),) * place + (chosen,))


def masked_fill(x: Any, mask: Any, value: Any) -> Tensor:
    """`value`, in the dtype of x, where the mask is true, x elsewhere; the mask is broadcast against x.
    Raises TypeError for a mask of floating-point numbers, and for a fraction in an x of integers, OverflowError for an
    integer beyond them.

    >>> masked_fill(Tensor([1.0, 2.0]), Tensor([True, False]), float("-inf"))
    Tensor([-inf,   2.])
    """
    kind = np.asarray(unwrap_index(mask)).dtype
    if kind.kind == "f":
        raise DTypeError(f"masked_fill: a mask of dtype {kind}; it is boolean, true where the value goes: mask != 0")
    if value is None:
        raise TypeError("masked_fill: the value is None; it is a number")
    x = x if isinstance(x, Tensor) else Tensor(x)
    check_kept("masked_fill", unwrap_index(value), x.dtype)
    if not isinstance(value, Tensor):
        value = Tensor(value, x.dtype)
    return where(mask, value if value.dtype == x.dtype else value.astype(x.dtype), x)


@primitive
def argwhere(x: Array, /) -> Array:
    """Where x is not 0 or False: a row of indices for each such element.

    >>> argwhere(Tensor([[0, 5], [7, 0]])).tolist()
    [[0, 1], [1, 0]]
    """
    return np.argwhere(x)


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """Where x is not 0 or False: the indices of each axis, so that `x[nonzero(x)]` are those elements.

    >>> nonzero(Tensor([[0, 5], [7, 0]]))
    (Tensor([0, 1]), Tensor([1, 0]))
    """
    if np.ndim(x) == 0:
        raise ShapeError("nonzero: a 0-dimensional tensor has no axes to be found along; compare it with 0 instead")
    places = argwhere(x)  # (n, ndim)
    return tuple(places[:, axis] for axis in range(np.ndim(x)))


@primitive
def setitem(x: Array, value: Any, /, index: Any) -> Array:
    """Write `value` into x at `index`, in place."""
    if not x.flags.writeable:
        raise ValueError(f"setitem: this tensor of shape {x.shape} is a read-only view; write to a .copy() of it")
    check_kept("setitem", value, x.dtype)
    try:
        x[unwrap_index(index)] = value
    except (IndexError, TypeError) as error:
        raise _index_error("setitem", x, index, error) from None
    except ValueError:
        place = x[unwrap_index(index)].shape
        raise ShapeError(f"setitem: a value of shape {np.shape(value)} does not fit a place of shape {place}") from None
    note_write(x)
    return x


def _places(name: str, x: Array, index: Array, axis: int) -> tuple[Array, ...]:
    """The index of x that names, for every place of `index`, the element of `axis` that stands there."""
    x, index = np.asarray(x), np.asarray(index)
    place = normalize_axis(name, x, axis)
    if index.dtype.kind not in "iu":
        raise DTypeError(f"{name}: indices of dtype {index.dtype}; they must be integers, use astype(int64)")
    if index.ndim != x.ndim:
        raise ShapeError(f"{name}: index of shape {index.shape} for shape {x.shape}; both need the same number of axes")
    _check_range(name, index, x.shape[place], axis)
    if any(have > n for i, (have, n) in enumerate(zip(index.shape, x.shape, strict=True)) if i != place):
        raise ShapeError(f"{name}: index of shape {index.shape} for shape {x.shape}; only axis {place} may be longer")
    places: list[Array] = list(np.indices(index.shape, sparse=True))
    places[place] = index
    return tuple(places)


def _check_range(name: str, index: Array, n: int, axis: int) -> None:
    if index.size and (index.min() < -n or index.max() >= n):
        raise IndexError(f"{name}: indices from {index.min()} to {index.max()} for {n} elements along axis {axis}")


@primitive
def gather(x: Array, index: Array, /, axis: int) -> Array:
    """`out[i, j] = x[index[i, j], j]` for axis 0, and so on: an element of `axis` for every place of `index`.

    `index` may be shorter than x along the other axes.

    >>> gather(Tensor([[1, 2], [3, 4]]), Tensor([[0], [1]]), axis=1).tolist()
    [[1], [4]]
    """
    return np.asarray(x)[_places("gather", x, index, axis)]


@primitive(upcast=True)
def scatter_add(x: Array, index: Array, source: Array, /, axis: int) -> Array:
    """x with `out[index[i, j], j] += source[i, j]` for axis 0, and so on; places named twice get the sum."""
    places = _places("scatter_add", x, index, axis)
    if np.shape(index) != np.shape(source):
        raise ShapeError(f"scatter_add: index {np.shape(index)}, source {np.shape(source)}; the shapes must be equal")
    out = np.array(x, np.result_type(x, source))
    np.add.at(out, places, source)
    return out
