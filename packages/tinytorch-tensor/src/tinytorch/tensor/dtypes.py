"""Which dtype an array gets when none is asked for."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import DTypeError, ShapeError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""An ndarray of any shape and dtype, as type hints name it: what primitives compute on."""

Axis: TypeAlias = int | tuple[int, ...] | None
"""Which axes an operation works on: one, several, or all of them."""

float16, float32, float64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
int64, bool_ = np.dtype(np.int64), np.dtype(np.bool_)
INT64_MAX = np.iinfo(np.int64).max

_default: np.dtype[Any] = float32
settled: np.dtype[Any] | None = float32
"""Results of this dtype need no second look: the default one, unless integers could have widened floats to it."""
_halves = False  # whether float16, which integers widen to float32, was ever met


def default_dtype() -> np.dtype[Any]:
    """The dtype that floating-point data gets when none is asked for.

    >>> default_dtype()
    dtype('float32')
    """
    return _default


def set_default_dtype(dtype: npt.DTypeLike) -> None:
    """Make `dtype` the default for floating-point data. Raises TypeError when it is not floating point.

    >>> set_default_dtype("float32")
    """
    global _default
    wanted = np.dtype(dtype)
    if wanted.kind != "f":
        raise DTypeError(f"set_default_dtype: {wanted} is not a floating-point dtype; use float32 or float64")
    _default = wanted
    _settle(_halves or wanted == float16)


def _settle(halves: bool) -> None:
    global settled, _halves
    _halves = halves
    settled = _default if _default == float32 and not halves else None


def as_array(data: Any, dtype: npt.DTypeLike | None = None) -> Array:
    """`data` as an array of numbers or booleans, converted to `dtype` if one is given.

    Without one, Python floats and float64 arrays get the default dtype, Python integers int64; arrays of other dtypes
    keep theirs. Shares memory with `data` where the dtype allows it.
    Raises TypeError for strings, objects and dates, ValueError for ragged lists, OverflowError for integers that int64,
    or an integer `dtype`, does not hold.

    >>> as_array([1.0, 2.0]).dtype, as_array([1, 2]).dtype
    (dtype('float32'), dtype('int64'))
    """
    array = as_numbers(data)
    if dtype is not None:
        wanted = check_dtype("Tensor", dtype)
        if wanted.kind in "iu" and array.dtype.kind in "iu" and not isinstance(data, np.ndarray):
            check_kept("Tensor", array, wanted)
        return array.astype(wanted, copy=False)
    if array.dtype == float64:
        return array.astype(_default, copy=False)
    if array.dtype.kind in "iu" and not isinstance(data, np.ndarray | np.generic):
        if array.dtype.kind == "u" and array.size and array.max() > INT64_MAX:
            raise OverflowError(f"Tensor: {array.max()} is beyond int64; give dtype=uint64, or a floating-point dtype")
        return array.astype(int64, copy=False)
    return array


def as_numbers(data: Any) -> Array:
    """`data` as an array of numbers or booleans, with the digits it has. Raises as `as_array` does."""
    if holds_gradients(data):
        raise TypeError(
            "Tensor: a tensor that requires gradients, or a list of such, would lose them as an array; "
            "stack() makes one tensor of several, x.data leaves gradients out"
        )
    try:
        array = np.asarray(data)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ShapeError("Tensor: ragged lists; every row needs the same length, pad the short ones") from None
    if array.dtype.kind not in "bifu":
        if array.dtype.kind == "O" and isinstance(data, list | tuple) and any(hasattr(x, "__array__") for x in data):
            return as_numbers([item.__array__() if hasattr(item, "__array__") else item for item in data])
        raise DTypeError(
            f"Tensor: {type(data).__name__} became an array of dtype {array.dtype}; "
            "a tensor holds numbers or booleans, convert the data first"
        )
    if array.dtype == float16:
        _settle(halves=True)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def holds_gradients(data: Any) -> bool:
    """Whether a tensor in `data`, however deep in lists and dicts, requires gradients."""
    if isinstance(data, dict):
        data = list(data.values())
    if not isinstance(data, list | tuple):
        return getattr(data, "requires_grad", False)
    kinds = set(map(type, data))  # few, where the elements may be many
    if not any(issubclass(kind, list | tuple | dict) or hasattr(kind, "requires_grad") for kind in kinds):
        return False
    return any(map(holds_gradients, data))


def check_dtype(name: str, dtype: npt.DTypeLike) -> np.dtype[Any]:
    """`dtype` as NumPy's, when it is one of numbers or booleans. Raises TypeError for any other, None included."""
    try:
        wanted = None if dtype is None else np.dtype(dtype)
    except TypeError:
        wanted = None
    if wanted is None or wanted.kind not in "bifu":
        shown = repr(dtype) if wanted is None else wanted
        raise DTypeError(f"{name}: dtype {shown} is not a number or boolean; use float32, float64, int64 or bool")
    if wanted == float16:
        _settle(halves=True)
    return wanted.newbyteorder("=")


def check_kept(name: str, value: Any, dtype: np.dtype[Any]) -> None:
    """Refuse a `value` that `dtype` cannot hold: TypeError for a fraction, OverflowError beyond its range."""
    array = np.asarray(value)
    if dtype.kind == "f" or array.dtype == dtype:
        return
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.trunc(array))).all():
        raise DTypeError(f"{name}: a fraction does not fit dtype {dtype}; convert with astype, or round it first")
    if dtype.kind == "b" or not array.size or np.can_cast(array.dtype, dtype):
        return
    least, most = array.min().item(), array.max().item()
    bounds = np.iinfo(dtype)
    if least < bounds.min or most > bounds.max:
        worst = most if most > bounds.max else least
        raise OverflowError(f"{name}: {worst} does not fit dtype {dtype}, from {bounds.min} to {bounds.max}")
