"""What a tensor is asked to do by a dot and a name, or by an operator: `x.exp()` is `exp(x)`, `x + y` is `add(x, y)`.

Methods that stand for a function of the same name are declared here without a body; `put_on` gives them that of the
function, with its words. It runs once, after tensors and operations are made, as `extend` does for later stages.
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import ops
from .arraylike import ArrayLike
from .dtypes import Axis
from .errors import DTypeError, ShapeError
from .extension import Absent
from .tensor import Tensor
from .words import NAMES

Value = Any  # a tensor, an array, a list or a number


class Elementwise(ArrayLike):
    """Each element is treated by itself."""

    def exp(self) -> Tensor: ...
    def arctan2(self, other: Value, /) -> Tensor: ...
    def round(self, decimals: int = 0) -> Tensor: ...
    def clip(self, low: float | None = None, high: float | None = None) -> Tensor: ...
    def masked_fill(self, mask: Value, value: Value) -> Tensor: ...
    def astype(self, dtype: npt.DTypeLike) -> Tensor: ...

    expm1 = log = log1p = log2 = log10 = sqrt = square = reciprocal = exp
    sin = cos = tan = arcsin = arccos = arctan = sinh = cosh = tanh = exp
    abs = sign = floor = ceil = isnan = isfinite = isinf = logical_not = copy = exp
    maximum = minimum = logical_and = logical_or = logical_xor = arctan2


class Reduce(ArrayLike):
    """An axis, several or all of them are reduced, or put in order; and products, which sum over an axis."""

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
    def var(self, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Tensor: ...
    def std(self, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Tensor: ...
    def norm(self, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
    def cumsum(self, axis: int | None = None) -> Tensor: ...
    def cumprod(self, axis: int | None = None) -> Tensor: ...
    def sort(self, axis: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]: ...
    def argsort(self, axis: int | None = -1, descending: bool = False) -> Tensor: ...
    def topk(self, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]: ...
    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor: ...
    def matmul(self, other: Value, /) -> Tensor: ...
    def outer(self, other: Value, /) -> Tensor: ...

    prod = mean = logsumexp = max = min = median = any = all = sum


class Movement(ArrayLike):
    """Elements are arranged in another way, repeated, selected or cut apart."""

    def transpose(self, d0: int = -2, d1: int = -1) -> Tensor: ...
    def swapaxes(self, d0: int, d1: int) -> Tensor: ...
    def moveaxis(self, source: Any, destination: Any) -> Tensor: ...
    def squeeze(self, axis: Axis = None) -> Tensor: ...
    def unsqueeze(self, axis: int) -> Tensor: ...
    def flatten(self, start: int = 0, end: int = -1) -> Tensor: ...
    def broadcast_to(self, shape: tuple[int, ...]) -> Tensor: ...
    def expand(self, *shape: Any) -> Tensor: ...
    def flip(self, axis: Axis = None) -> Tensor: ...
    def roll(self, shift: int | tuple[int, ...], axis: Axis = None) -> Tensor: ...
    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor: ...
    def tile(self, *repeats: Any) -> Tensor: ...
    def pad(self, width: Any, value: float = 0.0) -> Tensor: ...
    def tril(self, diagonal: int = 0) -> Tensor: ...
    def triu(self, diagonal: int = 0) -> Tensor: ...
    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor: ...
    def diag(self, diagonal: int = 0) -> Tensor: ...
    def split(self, sizes: Any, axis: int = 0) -> tuple[Tensor, ...]: ...
    def chunk(self, chunks: int, axis: int = 0) -> tuple[Tensor, ...]: ...
    def unbind(self, axis: int = 0) -> tuple[Tensor, ...]: ...
    def take(self, indices: Value, axis: int | None = None) -> Tensor: ...
    def gather(self, index: Value, axis: int) -> Tensor: ...
    def scatter_add(self, index: Value, source: Value, axis: int) -> Tensor: ...
    def argwhere(self) -> Tensor: ...
    def nonzero(self) -> tuple[Tensor, ...]: ...


class Operators(ArrayLike):
    """Python's operators, with a number, a list or an array on either side."""

    def __add__(self, other: Value, /) -> Tensor: ...
    def __neg__(self) -> Tensor: ...
    def __eq__(self, other: object, /) -> Tensor: ...  # type: ignore[override]
    def __ne__(self, other: object, /) -> Tensor: ...  # type: ignore[override]

    __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = __add__
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __rmatmul__ = __add__
    __and__ = __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = __lt__ = __le__ = __gt__ = __ge__ = __add__
    __abs__ = __invert__ = __neg__


class Written(ArrayLike):
    """What is not simply a function of the same name."""

    @property
    def T(self) -> Tensor:
        """The axes reversed."""
        return ops.permute(self, axes=tuple(range(self._data.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped: the transposed matrices of a stack."""
        return ops.transpose(self, -2, -1)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape, given as ints or as a tuple; one size may be -1."""
        return ops.reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def permute(self, *axes: Any) -> Tensor:
        """The axes in another order: axis i of the result is axis `axes[i]` of the tensor."""
        return ops.permute(self, axes=axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes)

    def where(self, condition: Value, other: Value) -> Tensor:
        """The tensor where the condition holds, `other` elsewhere."""
        return ops.where(condition, self, other)

    def __pos__(self) -> Tensor:
        return ops.alias(self)

    def __divmod__(self, other: Value, /) -> tuple[Tensor, Tensor]:
        return ops.floor_divide(self, other), ops.remainder(self, other)

    def __rdivmod__(self, other: Value, /) -> tuple[Tensor, Tensor]:
        return ops.floor_divide(other, self), ops.remainder(other, self)

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:
            raise TypeError("iter: a 0-dimensional tensor has no elements to go through; use .item() for its value")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index=index)

    def __setitem__(self, index: Any, value: Value) -> None:
        ops.setitem(self, value, index=index)


class Methods(Elementwise, Reduce, Movement, Operators, Written):
    """All of them: what type checkers see as the base of `Tensor`."""


BINARY = {
    "add": ops.add, "sub": ops.subtract, "mul": ops.multiply, "truediv": ops.divide, "floordiv": ops.floor_divide,
    "mod": ops.remainder, "pow": ops.power, "matmul": ops.matmul,
    "and": ops.bitwise_and, "or": ops.bitwise_or, "xor": ops.bitwise_xor,
}  # fmt: skip
COMPARISONS = {"lt": ops.less, "le": ops.less_equal, "gt": ops.greater, "ge": ops.greater_equal}
EQUALITIES = {"eq": ops.equal, "ne": ops.not_equal}
UNARY = {"neg": ops.negative, "abs": ops.abs, "invert": ops.invert}


def as_method(operation: Callable[..., Any], stub: Callable[..., Any]) -> Callable[..., Any]:
    """A method that calls `operation`, with its words and the signature of `stub`."""

    method: Callable[..., Any] = lambda self, *args, **params: operation(self, *args, **params)  # noqa: E731
    if len(inspect.signature(stub).parameters) == 1:
        method = lambda self: operation(self)  # noqa: E731  which is faster
    functools.update_wrapper(method, stub)
    name = operation.__name__  # that of the stub is of several
    method.__doc__, method.__name__, method.__qualname__ = operation.__doc__, name, f"Tensor.{name}"
    return method


def operator(operation: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: operation(self, other)


def reflected(operation: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: operation(other, self)


def equality(operation: Callable[..., Any]) -> Callable[..., Any]:
    """A tensor is unequal to None and to words, as any two objects are."""
    return lambda self, other: NotImplemented if other is None or isinstance(other, str) else operation(self, other)


def in_place(operation: Callable[..., Any]) -> Callable[..., Any]:
    """`x += y`, in the memory of x. A result that a handler recorded stays a new tensor, because x is still needed."""

    def method(self: Tensor, other: Value) -> Tensor:
        out: Tensor = operation(self, other)
        if out.node is not None:
            if self.requires_grad and self.node is None:
                raise RuntimeError(
                    f"{operation.__name__}: a tensor that requires gradients cannot be changed in place while they are "
                    "recorded; write `with no_grad():` around it"
                )
            return out
        if out.shape != self.shape:
            raise ShapeError(f"{operation.__name__}: {out.shape} does not fit {self.shape} in place; write x = x + y")
        if not np.can_cast(out.dtype, self.dtype, "same_kind"):
            raise DTypeError(f"{operation.__name__}: {out.dtype} does not fit {self.dtype} in place; write x = x + y")
        ops.setitem(self, out, index=...)
        return self

    return method


def put_on() -> None:
    """Give `Tensor` its methods, operators and views."""
    members = {n: member for n, member in vars(Written).items() if inspect.isfunction(member) or n in ("T", "mT")}
    for family in (Elementwise, Reduce, Movement):
        stubs = {name: stub for name, stub in vars(family).items() if inspect.isfunction(stub)}
        members |= {name: as_method(getattr(ops, name), stub) for name, stub in stubs.items()}
    members |= {f"__{name}__": as_method(operation, Elementwise.abs) for name, operation in UNARY.items()}
    members |= {f"__{name}__": equality(operation) for name, operation in EQUALITIES.items()}
    members |= {f"__{name}__": operator(operation) for name, operation in (BINARY | COMPARISONS).items()}
    members |= {f"__r{name}__": reflected(operation) for name, operation in BINARY.items()}
    members |= {f"__i{name}__": in_place(operation) for name, operation in BINARY.items()}
    for name, member in members.items():
        setattr(Tensor, name, member)
    for name, advice in NAMES.items():
        if not hasattr(Tensor, name):
            setattr(Tensor, name, Absent(name, advice))


put_on()
