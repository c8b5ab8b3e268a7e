"""Diagonals of matrices, and what lies on one side of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import check_int
from ..dispatch import primitive
from ..dtypes import Array
from ..errors import ShapeError
from ..tensor import Tensor
from .indexing import getitem, index_grad
from .reductions import normalize_axis, sum
from .shaping import moveaxis

__all__ = ["diag", "diagonal", "trace", "tril", "triu"]


@primitive
def tril(x: Array, /, diagonal: int = 0) -> Array:
    """x with zeros above a diagonal of its last two axes."""
    return np.tril(_matrix("tril", x, diagonal), diagonal)


@primitive
def triu(x: Array, /, diagonal: int = 0) -> Array:
    """x with zeros below a diagonal of its last two axes."""
    return np.triu(_matrix("triu", x, diagonal), diagonal)


def _matrix(name: str, x: Array, diagonal: int) -> Array:
    check_int(name, "diagonal", diagonal, minimum=None)
    if x.ndim < 2:
        raise ShapeError(f"{name}: shape {x.shape} has no last two axes; a matrix or a stack of them is needed")
    return x


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements of a diagonal of two axes, as a last axis in their place; `offset` counts from the main one upwards.

    >>> diagonal(Tensor([[1, 2], [3, 4]])), diagonal(Tensor([[1, 2], [3, 4]]), offset=1)
    (Tensor([1, 4]), Tensor([2]))
    """
    check_int("diagonal", "offset", offset, minimum=None)
    first, second = normalize_axis("diagonal", x, axis1), normalize_axis("diagonal", x, axis2)
    if first == second:
        raise ValueError(f"diagonal: axis {axis1} and {axis2} of shape {np.shape(x)}; it needs two different axes")
    rows, columns = places(np.shape(x)[first], np.shape(x)[second], offset)
    return getitem(moveaxis(x, (first, second), (-2, -1)), index=(..., rows, columns))


def places(n: int, m: int, offset: int) -> tuple[Array, Array]:
    """The rows and columns of a diagonal of an n x m matrix."""
    rows = np.arange(max(0, -offset), max(0, -offset, min(n, m - offset)))
    return rows, rows + offset


def diag(x: Any, diagonal: int = 0) -> Tensor:
    """Of a vector, the square matrix that has it on a diagonal and zeros elsewhere; of a matrix, its diagonal.

    >>> diag(Tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    check_int("diag", "diagonal", diagonal, minimum=None)
    if np.ndim(x) == 2:
        rows, columns = np.shape(x)
        return getitem(x, index=places(rows, columns, diagonal))
    if np.ndim(x) != 1:
        raise ShapeError(f"diag: shape {np.shape(x)}; a vector or a matrix is needed, diagonal() takes stacks of them")
    n = len(x) + abs(diagonal)
    return index_grad(x, shape=(n, n), index=places(n, n, diagonal))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of a diagonal of two axes.

    >>> trace(Tensor([[1, 2], [3, 4]]))
    Tensor(5)
    """
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)
