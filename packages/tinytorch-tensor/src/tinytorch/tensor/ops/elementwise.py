"""Operations on single elements; two inputs are broadcast against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks import check_int
from ..dispatch import Primitive, primitive
from ..dtypes import Array, check_dtype
from ..errors import DTypeError, ShapeError
from ..tensor import Tensor

__all__ = [
    "abs", "add", "alias", "arccos", "arcsin", "arctan", "arctan2", "astype", "bitwise_and", "bitwise_or",
    "bitwise_xor", "ceil", "clip", "copy", "cos", "cosh", "divide", "equal", "exp", "expm1", "floor", "floor_divide",
    "greater", "greater_equal", "invert", "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log10", "log1p",
    "log2", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "multiply", "negative",
    "not_equal", "power", "reciprocal", "remainder", "round", "sign", "sin", "sinh", "sqrt", "square", "subtract",
    "tan", "tanh", "where",
]  # fmt: skip


def explain(name: str) -> Callable[..., Exception | None]:
    """What to say when inputs cannot be broadcast together, or have dtypes the operation is not defined for."""

    def better(error: Exception, *inputs: Any, **params: Any) -> Exception | None:
        if isinstance(error, TypeError):
            kinds = " and ".join(str(x.dtype) if isinstance(x, np.ndarray) else type(x).__name__ for x in inputs)
            return DTypeError(f"{name}: not defined for {kinds}; convert with astype")
        try:
            np.broadcast_shapes(*map(np.shape, inputs))
        except ValueError:
            shapes = " and ".join(str(np.shape(x)) for x in inputs)
            return ShapeError(
                f"{name}: {shapes} cannot be broadcast together; "
                "aligned from the right, each pair of sizes must be equal or hold a 1"
            )
        return None

    return better


def elementwise(ufunc: np.ufunc, name: str, meaning: str) -> Primitive:
    """A primitive whose forward is one of NumPy's universal functions, as it is."""
    return Primitive(ufunc, name, meaning, ("x", "y")[: ufunc.nin], explain=explain(name), module=__name__)


add = elementwise(np.add, "add", "x + y")
subtract = elementwise(np.subtract, "subtract", "x - y")
multiply = elementwise(np.multiply, "multiply", "x * y")
divide = elementwise(np.true_divide, "divide", "x / y, of integers too a float; by zero, as in NumPy, infinity or NaN.")
floor_divide = elementwise(np.floor_divide, "floor_divide", "The largest integer not above x / y.")
remainder = elementwise(np.remainder, "remainder", "x - y * floor(x / y): the sign is that of y.")
maximum = elementwise(np.maximum, "maximum", "The larger of x and y; NaN where either is NaN.")
minimum = elementwise(np.minimum, "minimum", "The smaller of x and y; NaN where either is NaN.")
arctan2 = elementwise(np.arctan2, "arctan2", "The angle of the point y to the right and x up, -pi to pi radians.")


def _explain_power(error: Exception, x: Any, y: Any) -> Exception | None:
    if "negative integer powers" in str(error):
        return ValueError("power: integers to a negative integer power are fractions; use astype(float32), or 1.0 / x")
    return explain("power")(error, x, y)


SHORT: dict[float, Callable[[Array], Array]] = {
    -2: lambda x: np.square(np.reciprocal(x)), -1.5: lambda x: np.divide(np.reciprocal(x), np.sqrt(x)),
    -1: np.reciprocal, -0.5: lambda x: np.reciprocal(np.sqrt(x)),
    0.5: np.sqrt, 1.5: lambda x: np.multiply(np.sqrt(x), x),
    2: np.square, 3: lambda x: np.multiply(np.square(x), x), 4: lambda x: np.square(np.square(x)),
}  # fmt: skip
"""Powers that most are, and those of their slopes: np.power takes up to a hundred times as long for them."""


@primitive(explain=_explain_power)
def power(x: Any, y: Any, /) -> Array:
    """x ** y"""
    if type(y) in (int, float) and y in SHORT and isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return SHORT[y](x)
    return np.power(x, y)


@primitive(explain=explain("where"))
def where(condition: Any, x: Any, y: Any, /) -> Array:
    """x where the condition holds, y elsewhere."""
    return np.where(condition, x, y)


@primitive
def clip(x: Any, /, low: float | None = None, high: float | None = None) -> Array:
    """x, or the bound it lies beyond."""
    if low is None and high is None:
        raise ValueError("clip: both bounds are None; give low, high or both")
    for bound in (low, high):
        if isinstance(bound, str | Tensor):
            kind = type(bound).__name__
            raise TypeError(f"clip: a bound is a {kind}; bounds are numbers, maximum() and minimum() take tensors")
    return np.clip(x, low, high)


# One input
negative = elementwise(np.negative, "negative", "-x")
abs = elementwise(np.abs, "abs", "|x|")
sign = elementwise(np.sign, "sign", "-1, 0 or 1: the sign of x.")
floor = elementwise(np.floor, "floor", "The largest integer not above x.")
ceil = elementwise(np.ceil, "ceil", "The smallest integer not below x.")
square = elementwise(np.square, "square", "x * x")
sqrt = elementwise(np.sqrt, "sqrt", "The square root; NaN below 0, with NumPy's warning.")
exp = elementwise(np.exp, "exp", "e ** x")
expm1 = elementwise(np.expm1, "expm1", "e ** x - 1, with all digits where x is small.")
log = elementwise(np.log, "log", "The natural logarithm; minus infinity at 0 and NaN below, with NumPy's warning.")
log1p = elementwise(np.log1p, "log1p", "The natural logarithm of 1 + x, with all digits where x is small.")
log2 = elementwise(np.log2, "log2", "The logarithm to base 2.")
log10 = elementwise(np.log10, "log10", "The logarithm to base 10.")
sin = elementwise(np.sin, "sin", "The sine of x radians.")
cos = elementwise(np.cos, "cos", "The cosine of x radians.")
tan = elementwise(np.tan, "tan", "The tangent of x radians.")
arcsin = elementwise(np.arcsin, "arcsin", "The angle in radians, from -pi/2 to pi/2, whose sine is x.")
arccos = elementwise(np.arccos, "arccos", "The angle in radians, from 0 to pi, whose cosine is x.")
arctan = elementwise(np.arctan, "arctan", "The angle in radians, between -pi/2 and pi/2, whose tangent is x.")
sinh = elementwise(np.sinh, "sinh", "The hyperbolic sine.")
cosh = elementwise(np.cosh, "cosh", "The hyperbolic cosine.")
tanh = elementwise(np.tanh, "tanh", "The hyperbolic tangent.")


def reciprocal(x: Any) -> Tensor:
    """1 / x, of integers too, where `np.reciprocal` of an array gives integers.

    >>> reciprocal(Tensor([2, 4]))
    Tensor([0.5 , 0.25])
    """
    return divide(1.0, x)


@primitive
def round(x: Any, /, decimals: int = 0) -> Array:
    """The nearest number of so many decimals, halves to the even one.

    >>> round(Tensor([1.25, 2.5]), decimals=1), round(Tensor([1.25, 2.5]))
    (Tensor([1.2, 2.5]), Tensor([1., 2.]))
    """
    return np.round(x, check_int("round", "decimals", decimals, minimum=None))


@primitive
def astype(x: Array, /, dtype: np.dtype[Any] = np.dtype(np.float32)) -> Array:  # noqa: B008
    """x in another dtype."""
    return x.astype(check_dtype("astype", dtype))


@primitive
def copy(x: Array, /) -> Array:
    """x in memory of its own."""
    return x.copy()


@primitive
def alias(x: Array, /) -> Array:
    """x itself, as a result: a new tensor on the same memory."""
    return x.view()


# Comparison and logic
equal = elementwise(np.equal, "equal", "x == y")
not_equal = elementwise(np.not_equal, "not_equal", "x != y")
less = elementwise(np.less, "less", "x < y")
less_equal = elementwise(np.less_equal, "less_equal", "x <= y")
greater = elementwise(np.greater, "greater", "x > y")
greater_equal = elementwise(np.greater_equal, "greater_equal", "x >= y")
bitwise_and = elementwise(np.bitwise_and, "bitwise_and", "x & y: both, of booleans.")
bitwise_or = elementwise(np.bitwise_or, "bitwise_or", "x | y: either, of booleans.")
bitwise_xor = elementwise(np.bitwise_xor, "bitwise_xor", "x ^ y: one but not both, of booleans.")
invert = elementwise(np.invert, "invert", "~x: not, of booleans.")
isnan = elementwise(np.isnan, "isnan", "Whether an element is not a number.")
isfinite = elementwise(np.isfinite, "isfinite", "Whether an element is neither infinite nor NaN.")
isinf = elementwise(np.isinf, "isinf", "Whether an element is infinite.")
logical_and = elementwise(np.logical_and, "logical_and", "Whether both are true; a number is true when it is not 0.")
logical_or = elementwise(np.logical_or, "logical_or", "Whether either is true.")
logical_xor = elementwise(np.logical_xor, "logical_xor", "Whether one is true, but not both.")
logical_not = elementwise(np.logical_not, "logical_not", "Whether x is false, or 0.")
