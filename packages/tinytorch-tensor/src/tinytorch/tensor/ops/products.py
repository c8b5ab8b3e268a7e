"""Matrix products and sums of products over named axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dispatch import primitive
from ..dtypes import Array
from ..errors import ShapeError
from ..tensor import Tensor
from .elementwise import multiply
from .shaping import broadcast_to, reshape

__all__ = ["contract", "einsum", "matmul", "outer"]


@primitive(upcast=True)
def matmul(x: Array, y: Array, /) -> Array:
    """The matrix product over the last two axes, the others broadcast: (..., n, k) @ (..., k, m) -> (..., n, m).

    A one-dimensional input is a row (left) or a column (right), and the result lacks that axis.

    >>> matmul(Tensor([[1, 2], [3, 4]]), Tensor([1, 1]))
    Tensor([3, 7])
    """
    try:
        return np.matmul(x, y)
    except (ValueError, TypeError):
        raise _matmul_error(x, y) from None


def _matmul_error(x: Any, y: Any) -> Exception:
    xs, ys = np.shape(x), np.shape(y)
    if not xs or not ys:
        return ShapeError(f"matmul: {xs} @ {ys}: a scalar has no rows or columns; multiply with *")
    inner = (xs[-1], ys[-2] if len(ys) > 1 else ys[0])
    if inner[0] != inner[1]:
        return ShapeError(f"matmul: {xs} @ {ys}: inner sizes {inner[0]} and {inner[1]} differ; transpose one side?")
    return ShapeError(f"matmul: {xs} @ {ys}: the axes before the last two cannot be broadcast together")


def outer(x: Any, y: Any) -> Tensor:
    """The product of every element of x with every one of y: (n,), (m,) -> (n, m); other shapes are flattened.

    >>> outer(Tensor([1, 2]), Tensor([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    return multiply(reshape(x, shape=(-1, 1)), reshape(y, shape=(1, -1)))


@primitive(upcast=True)
def contract(*operands: Array, spec: str) -> Array:
    """What `einsum` does once every axis has a letter, as a primitive of any number of inputs."""
    try:
        return np.einsum(spec, *operands, optimize=len(operands) > 1)
    except ValueError as error:
        shapes = ", ".join(str(np.shape(operand)) for operand in operands)
        raise ShapeError(f"einsum: {spec!r} for shapes {shapes}: {error}") from None


def einsum(spec: str, *operands: Any) -> Tensor:
    """The sum of products that `spec` names, with one letter an axis: `"ij,jk->ik"` is the matrix product.

    >>> einsum("ij,ij->i", Tensor([[1, 2], [3, 4]]), Tensor([[1, 1], [1, 1]]))
    Tensor([3, 7])
    """
    if not isinstance(spec, str):
        raise TypeError(f"einsum: the first argument is a {type(spec).__name__}; it names the axes, as 'ij,jk->ik'")
    spec = name_axes(spec, [np.ndim(operand) for operand in operands])
    return contract(*stretch(spec, operands), spec=spec)


def stretch(spec: str, operands: tuple[Any, ...]) -> Iterator[Any]:
    """The operands with every axis as long as its letter: an axis of size 1 is repeated to match a longer one."""
    terms = spec.partition("->")[0].split(",")
    shapes = [np.shape(operand) for operand in operands]
    sizes = {letter: n for pair in zip(terms, shapes, strict=True) for letter, n in zip(*pair, strict=False) if n != 1}
    for term, shape, operand in zip(terms, shapes, operands, strict=True):
        wanted = tuple(sizes.get(letter, n) if n == 1 else n for letter, n in zip(term, shape, strict=False))
        whole = len(term) == len(shape) == len(set(term))
        yield broadcast_to(operand, shape=wanted) if whole and wanted != shape else operand


def name_axes(spec: str, ndims: list[int]) -> str:
    """`spec` with the ellipsis spelled out and the result named, so that every axis has a letter."""
    spec = spec.replace(" ", "")
    sources, arrow, result = spec.partition("->")
    terms = sources.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: {spec!r} names {len(terms)} operands, {len(ndims)} were given")
    free = [letter for letter in map(chr, range(ord("A"), ord("z") + 1)) if letter.isalpha() and letter not in spec]
    longest = 0
    for place, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        if "..." in term:
            extra = max(0, ndim - (len(term) - 3))
            longest = max(longest, extra)
            terms[place] = term.replace("...", "".join(free[:extra][::-1]))
    spread = "".join(free[:longest][::-1])
    if arrow:
        result = result.replace("...", spread)
    else:
        letters = "".join(terms)
        result = spread + "".join(sorted(c for c in set(letters) - set(spread) if letters.count(c) == 1))
    return ",".join(terms) + "->" + result
