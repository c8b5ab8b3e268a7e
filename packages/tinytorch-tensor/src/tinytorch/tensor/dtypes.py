"""Which dtype an array gets when nobody asked for one."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int64 = np.dtype(np.int64)
bool_ = np.dtype(np.bool_)

_default: np.dtype[Any] = float32


def default_dtype() -> np.dtype[Any]:
    """The dtype that floating-point data gets when none is asked for.

    >>> default_dtype()
    dtype('float32')
    """
    return _default


def set_default_dtype(dtype: npt.DTypeLike) -> None:
    """Make `dtype`, a floating-point dtype, the default for floating-point data.

    Raises TypeError when `dtype` is not floating point.

    >>> set_default_dtype("float32")
    """
    global _default
    wanted = np.dtype(dtype)
    if wanted.kind != "f":
        raise TypeError(f"set_default_dtype: {wanted} is not a floating-point dtype; use float32 or float64")
    _default = wanted


def as_array(data: Any, dtype: npt.DTypeLike | None = None) -> Array:
    """`data` as an array of numbers or booleans; floating-point data gets the default dtype unless `dtype` is given.

    Shares memory with `data` where the dtype allows it. Raises TypeError for strings, objects and dates, ValueError for
    ragged lists.

    >>> as_array([1.0, 2.0]).dtype, as_array([1, 2]).dtype
    (dtype('float32'), dtype('int64'))
    """
    try:
        array = np.asarray(data)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError("Tensor: ragged lists; every row needs the same length, pad the short ones") from None
    if array.dtype.kind not in "bifu":
        if array.dtype.kind == "O" and _holds_arrays(data):
            return as_array([item.__array__() if hasattr(item, "__array__") else item for item in data], dtype)
        raise TypeError(
            f"Tensor: {type(data).__name__} became an array of dtype {array.dtype}; "
            "a tensor holds numbers or booleans, convert the data first"
        )
    if dtype is not None:
        return array.astype(_checked(dtype), copy=False)
    if array.dtype == float64:
        return array.astype(_default, copy=False)
    if array.dtype.kind in "iu" and not isinstance(data, np.ndarray | np.generic):
        return array.astype(int64, copy=False)
    return array


def _holds_arrays(data: Any) -> bool:
    return isinstance(data, list | tuple) and any(hasattr(item, "__array__") for item in data)


def _checked(dtype: npt.DTypeLike) -> np.dtype[Any]:
    wanted = np.dtype(dtype)
    if wanted.kind not in "bifu":
        raise TypeError(f"Tensor: dtype {wanted} is not a number or boolean; use float32, float64, int64 or bool")
    return wanted
