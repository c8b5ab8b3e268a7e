"""`Tensor`: an array with operations that can be observed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Never, cast

import numpy as np
import numpy.typing as npt
from numpy import ndarray

from . import printing
from .arraylike import ArrayLike
from .dtypes import Array, as_array
from .errors import DTypeError, ShapeError
from .mutation import note_write
from .words import unknown_argument

if TYPE_CHECKING:
    from .methods import Methods  # which `methods` puts on `Tensor` at run time, once operations are made
else:
    Methods = ArrayLike


class Tensor(Methods):
    """An n-dimensional array of numbers or booleans; its operations go through dispatch.

    `data` is anything NumPy can read as numbers; Python floats and float64 arrays become the default dtype (float32)
    unless `dtype` is given, arrays of other dtypes keep theirs. An array that needs no change is shared, not copied.
    `requires_grad` is kept, and has no effect until differentiation is enabled; only floating-point tensors
    may have it.
    Raises TypeError for strings and objects, ValueError for ragged lists.

    >>> Tensor([[1, 2], [3, 4]]) @ Tensor([1, 1])
    Tensor([3, 7])
    """

    __slots__ = ("__weakref__", "_data", "_grad", "hooks", "node", "requires_grad")

    _data: Array  # the array itself, for code that runs at every operation; all other code reads `data`
    _grad: Tensor | None
    node: Any  # where a recording handler keeps how this tensor was made
    hooks: Any  # what a recording handler calls with its gradient
    requires_grad: bool
    """Whether gradients are wanted; read once differentiation is enabled."""

    def __init__(
        self, data: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False, **unknown: Never
    ) -> None:  # fmt: skip
        for word in unknown:
            raise unknown_argument("Tensor", word, "Tensor(data, dtype, requires_grad)")
        if isinstance(data, Tensor):  # keeps its dtype, as a float64 array does not
            data, dtype = data._data, dtype or data._data.dtype
        self._data = as_array(data, dtype)
        if requires_grad and self._data.dtype.kind != "f":
            raise DTypeError(
                f"Tensor: requires_grad with dtype {self._data.dtype}; only floating-point tensors have gradients, "
                "give dtype=float32"
            )
        self._grad = self.node = self.hooks = None
        self.requires_grad = bool(requires_grad)

    if TYPE_CHECKING:  # later stages add names; at run time `extension` says which, and when

        def __getattr__(self, name: str) -> Any: ...

    @property
    def data(self) -> Array:
        """The array inside, sharing memory. It can be replaced by an array, or by that of a tensor, of the same dtype.

        Setting it raises TypeError for anything else. What was computed from the tensor before cannot be
        differentiated any more, as after any other write in place.

        >>> x = Tensor([1.0, 2.0])
        >>> x.data *= 2
        >>> x.data = x.data - 1; x
        Tensor([1., 3.])
        """
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        array = value._data if isinstance(value, Tensor) else value
        if not isinstance(array, ndarray | np.generic):
            raise TypeError(f"data: {value!r:.40} is not an array; assign an ndarray or a tensor, such as Tensor(x)")
        if array.dtype != self._data.dtype:
            raise DTypeError(
                f"data: an array of {array.dtype} for a tensor of {self._data.dtype}; "
                f"convert it first, with .astype({self._data.dtype.name!r})"
            )
        rebind(self, array)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that has arrived at this leaf, a tensor of its shape and dtype; None where none has.

        It may be set to such a tensor, to an array or list of its shape, or to None. Raises ShapeError or DTypeError
        for anything else. Reading it where nothing can arrive, on a tensor that was computed, warns.
        """
        if self._grad is None and self.node is not None:
            warnings.warn(
                "grad: this tensor was computed, and gradients are kept in leaves only; update a weight in place "
                "(`with no_grad(): w -= lr * w.grad`), and get other gradients from grad(loss, tensor)",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            value = value if isinstance(value, Tensor) else Tensor(value, self._data.dtype)
            seen = (
                f"grad: a gradient {value.shape} {value.dtype} for a tensor {self.shape} {self.dtype}; they must agree"
            )
            if value.shape != self.shape:
                raise ShapeError(seen)
            if value.dtype != self.dtype:
                raise DTypeError(seen)
        self._grad = value

    def __repr__(self) -> str:
        return printing.show(self)

    __hash__ = object.__hash__

    def __copy__(self) -> Tensor:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        twin = wrap(self._data.copy())
        twin.requires_grad = self.requires_grad
        return twin

    def __getstate__(self) -> Any:
        own, slots = cast(Any, object.__getstate__(self))  # how it was computed stays behind: a leaf arrives
        return own, {**slots, "node": None, "hooks": None}


def wrap(array: Any) -> Tensor:
    """A tensor around `array` as it is, without the checks of the constructor: how results are returned."""
    out: Tensor = new(Tensor)
    out._data = array if type(array) is ndarray else np.asarray(array)
    out._grad = out.node = out.hooks = None
    out.requires_grad = False
    return out


new = object.__new__


def rebind(tensor: Tensor, array: Any) -> None:
    """Give `tensor` another array, of any shape and dtype, and note the write: the way to convert it in place."""
    tensor._data = np.asarray(array)
    note_write(tensor._data)


def unwrap(x: Any) -> Any:
    """The array inside a tensor; anything else as it is."""
    return x._data if isinstance(x, Tensor) else x


def array_of(data: Any) -> Array:
    """The array inside a tensor; anything else as the array that NumPy makes of it. Shares memory where it can.

    >>> array_of(Tensor([1, 2])), array_of([0.5])
    (array([1, 2]), array([0.5]))
    """
    return data._data if isinstance(data, Tensor) else np.asarray(data)
