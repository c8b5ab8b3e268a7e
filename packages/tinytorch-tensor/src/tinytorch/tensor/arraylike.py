"""What makes a tensor an array to others: its shape and dtype, and the ways out to NumPy, DLPack and Python numbers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .dtypes import Array
from .errors import ShapeError


class ArrayLike:
    """Something that holds an ndarray, and is read like one."""

    __slots__ = ()
    __array_priority__ = 1000.0
    _data: Array
    requires_grad: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """What kind of number the elements are."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take."""
        return self._data.nbytes

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len: a 0-dimensional tensor has no length; use .item() for its value")
        return len(self._data)

    def numpy(self) -> Array:
        """The array itself, sharing memory."""
        return self._data

    def item(self) -> Any:
        """The only element, as a Python number. Raises ShapeError when there is not exactly one."""
        if self._data.size != 1:
            raise ShapeError(f"item: the shape {self.shape} has {self.size} elements, not one; use .tolist()")
        return self._data.item()

    def tolist(self) -> Any:
        """The elements as Python numbers, in lists nested as deep as there are axes."""
        return self._data.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad:  # np.asarray(x) is asked for; a function of NumPy that finds x in a list is not
            module = sys._getframe(1).f_globals.get("__name__", "")
            if module.startswith("numpy.") and not module.startswith("numpy.testing"):
                raise TypeError("numpy: a list of tensors would lose gradients; use stack(), or x.data leaves them out")
        return np.array(self._data, dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if any(stride < 0 for stride in self._data.strides):  # PyTorch ends the process over them
            raise BufferError(f"dlpack: strides {self._data.strides} run backwards; pass on a .copy()")
        return self._data.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[Any, Any]:
        return self._data.__dlpack_device__()

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ShapeError(f"bool: the truth of shape {self.shape} is ambiguous; use .any() or .all(), or .item()")
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._data.ndim or self._data.dtype.kind not in "iu":
            raise TypeError(f"a tensor of shape {self.shape} and dtype {self.dtype} is not an integer; use int(tensor)")
        return int(self._data)

    def __format__(self, spec: str) -> str:
        """A single number is written as `spec` says (`f"{loss:.3f}"`); other tensors have only their `repr`."""
        if not spec:
            return str(self)
        if self._data.ndim:
            raise TypeError(f"format: {spec!r} is for one number, the shape is {self.shape}; use .item() or .tolist()")
        return format(self._data.item(), spec)

    def __contains__(self, value: Any) -> bool:
        return bool((self._data == np.asarray(value)).any())
