"""Operations that reduce an axis: each takes `axis` (None for all, an int, or several) and `keepdims`."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..dispatch import Explain, primitive
from ..dtypes import Array, Axis, float32, float64
from ..errors import ShapeError
from ..precision import FEW, adds_rows, sum_in_blocks
from ..tensor import Tensor

__all__ = [
    "all", "any", "argmax", "argmin", "cumprod", "cumsum", "logsumexp", "max", "mean", "min", "norm", "prod", "std",
    "sum", "var",
]  # fmt: skip

# a reduction by its universal function skips two Python calls of np.sum and its like; the stubs want a literal keepdims
_add: Any = np.add.reduce
_prod: Any = np.multiply.reduce
_max: Any = np.maximum.reduce
_min: Any = np.minimum.reduce
_any: Any = np.logical_or.reduce
_all: Any = np.logical_and.reduce


def axis_error(name: str, x: Any, axis: Any, extra: int = 0) -> Exception:
    """The error for an axis that `x` (with `extra` axes more) does not have, or that is not an axis."""
    shape = np.shape(x)
    ndim = len(shape) + extra
    axes = axis if isinstance(axis, tuple) else (axis,)
    for each in axes:
        if isinstance(each, bool | Tensor) or not hasattr(each, "__index__"):
            kind = type(each).__name__
            return TypeError(f"{name}: axis {axis!r} is a {kind}; an axis is an int, a tuple to reduce several")
    if builtins.all(-ndim <= each < ndim for each in axes):
        return ValueError(f"{name}: axis {axis} for shape {shape}; name one axis, or different ones to reduce several")
    if not ndim:
        return AxisError(f"{name}: axis {axis} is out of range for shape (); a 0-dimensional tensor has no axes")
    lead = "a new one goes in at" if extra else "it has axes"
    return AxisError(f"{name}: axis {axis} is out of range for shape {shape}; {lead} 0 to {ndim - 1}, or -{ndim} to -1")


def normalize_axis(name: str, x: Any, axis: int, extra: int = 0) -> int:
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
        if isinstance(error, IndexError | TypeError) or "duplicate" in text or "repeated" in text:
            return axis_error(name, x, axis)
        if "zero-size" in text or "empty sequence" in text:
            return ShapeError(f"{name}: shape {x.shape} has nothing along axis {axis}; no elements have no {name}")
        return None

    return better


@primitive(upcast=True, explain=explain("sum"))
def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over `axis`, of many floating-point numbers in blocks.

    >>> sum(Tensor([[1, 2], [3, 4]]), axis=0)
    Tensor([4, 6])
    """
    if x.size > FEW and adds_rows(x, axis):
        return sum_in_blocks(x, axis, keepdims)
    return _add(x, axis=axis, keepdims=keepdims)


@primitive(upcast=True, explain=explain("prod"))
def prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The product over `axis`."""
    return _prod(x, axis=axis, keepdims=keepdims)


@primitive(upcast=True, explain=explain("mean"))
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over `axis`; of integers, a float."""
    total = sum.narrow(x if x.dtype.kind == "f" else x.astype(float64), axis, keepdims)
    return total / (x.size // (np.size(total) or 1))


@primitive(upcast=True, explain=explain("var"))
def var(x: Array, /, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Array:
    """The mean squared distance from the mean over `axis`, divided by n - correction (as in NumPy, 0 unless asked)."""
    apart = x - mean.narrow(x, axis, True)
    total = sum.narrow(np.square(apart), axis, keepdims)
    return total / builtins.max(x.size // (np.size(total) or 1) - correction, 0)


@primitive(upcast=True, explain=explain("std"))
def std(x: Array, /, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Array:
    """The square root of `var`."""
    return np.sqrt(var.narrow(x, axis, keepdims, correction))


@primitive(explain=explain("max"))
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element over `axis`; NaN where there is one."""
    return _max(x, axis=axis, keepdims=keepdims)


@primitive(explain=explain("min"))
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest element over `axis`; NaN where there is one."""
    return _min(x, axis=axis, keepdims=keepdims)


@primitive(upcast=True, explain=explain("logsumexp"))
def logsumexp(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The logarithm of the sum of e ** x over `axis`, exact where the powers would overflow; of nothing, -infinity.

    >>> round(logsumexp(Tensor([1000.0, 1000.0])).item(), 2)
    1000.69
    """
    x = x if x.dtype.kind == "f" else x.astype(float64)
    largest = _max(x, axis=axis, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore", over="ignore"):  # of no elements, and next to infinity
        out = np.log(sum.narrow(np.exp(x - shift), axis, True)) + shift
    return out if keepdims else np.squeeze(out, axis)


@primitive(upcast=True, explain=explain("norm"))
def norm(x: Array, /, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Array:
    """The length of x along `axis`: by squares (`ord` 2), by absolute values (1), or the largest of them (inf).

    Without `axis`, of all elements as one vector; with two, of matrices as vectors (Frobenius).

    >>> norm(Tensor([3.0, -4.0])), norm(Tensor([3.0, -4.0]), ord=1)
    (Tensor(5.), Tensor(7.))
    """
    x = x if x.dtype.kind == "f" else x.astype(float64)
    if ord == 2:
        return np.sqrt(sum.narrow(np.square(x), axis, keepdims))
    if ord == 1:
        return sum.narrow(np.abs(x), axis, keepdims)
    if ord == np.inf:
        return _max(np.abs(x), axis=axis, keepdims=keepdims, initial=0.0)
    raise ValueError(f"norm: ord {ord!r}; it is 1, 2 or infinity, others can be written with abs, ** and sum")


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


@primitive(upcast=True, explain=explain("cumsum"))
def cumsum(x: Array, /, axis: int | None = None) -> Array:
    """The running sum along `axis`, or of all elements in one row."""
    return _running(np.cumsum, x, axis)


@primitive(upcast=True, explain=explain("cumprod"))
def cumprod(x: Array, /, axis: int | None = None) -> Array:
    """The running product along `axis`, or of all elements in one row.

    >>> cumprod(Tensor([2, 3, 4]))
    Tensor([ 2,  6, 24])
    """
    return _running(np.cumprod, x, axis)


def _running(function: Any, x: Array, axis: int | None) -> Array:
    """Computed in float64 where x is float32: the error of every element reaches all that follow."""
    return function(x, axis, float64).astype(float32) if x.dtype == float32 else function(x, axis)
