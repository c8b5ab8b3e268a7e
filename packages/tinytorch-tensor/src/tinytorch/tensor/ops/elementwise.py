"""Operations that treat every element alike; two inputs are broadcast against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dispatch import Primitive, declare, primitive
from ..dtypes import Array, checked
from ..tensor import Tensor


def explain(name: str) -> Callable[..., Exception | None]:
    """What to say when inputs cannot be broadcast together, or have dtypes the operation is not defined for."""

    def better(error: Exception, *inputs: Any, **params: Any) -> Exception | None:
        if isinstance(error, TypeError):
            kinds = " and ".join(str(x.dtype) if isinstance(x, np.ndarray) else type(x).__name__ for x in inputs)
            return TypeError(f"{name}: not defined for {kinds}; convert with astype")
        try:
            np.broadcast_shapes(*map(np.shape, inputs))
        except ValueError:
            shapes = " and ".join(str(np.shape(x)) for x in inputs)
            return ValueError(
                f"{name}: {shapes} cannot be broadcast together; "
                "aligned from the right, each pair of sizes must be equal or hold a 1"
            )
        return None

    return better


def elementwise(ufunc: np.ufunc, name: str, meaning: str) -> Primitive:
    """A primitive whose forward is one of NumPy's universal functions, as it is."""
    return declare(Primitive(ufunc, name, meaning, ("x", "y")[: ufunc.nin], explain=explain(name), module=__name__))


add = elementwise(np.add, "add", "x + y")
subtract = elementwise(np.subtract, "subtract", "x - y")
multiply = elementwise(np.multiply, "multiply", "x * y")
divide = elementwise(
    np.true_divide, "divide", "x / y; integers divide to floats, and by zero as in NumPy to infinity or NaN."
)
floor_divide = elementwise(np.floor_divide, "floor_divide", "The largest integer not above x / y.")
remainder = elementwise(np.remainder, "remainder", "x - y * floor(x / y): the sign is that of y.")
maximum = elementwise(np.maximum, "maximum", "The larger of x and y; NaN where either is NaN.")
minimum = elementwise(np.minimum, "minimum", "The smaller of x and y; NaN where either is NaN.")


def _explain_power(error: Exception, x: Any, y: Any) -> Exception | None:
    if "negative integer powers" in str(error):
        return ValueError("power: integers to a negative integer power are fractions; use astype(float32), or 1.0 / x")
    return explain("power")(error, x, y)


SHORT: dict[float, Callable[[Array], Array]] = {
    -1: np.reciprocal,
    0.5: np.sqrt,
    2: np.square,
    3: lambda x: np.multiply(np.square(x), x),
}
"""Powers that most are: np.power takes up to a hundred times as long for them."""


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
round = elementwise(np.rint, "round", "The nearest integer, halves to the even one.")
exp = elementwise(np.exp, "exp", "e ** x")
log = elementwise(np.log, "log", "The natural logarithm; minus infinity at 0 and NaN below, with NumPy's warning.")
sqrt = elementwise(np.sqrt, "sqrt", "The square root; NaN below 0, with NumPy's warning.")
tanh = elementwise(np.tanh, "tanh", "The hyperbolic tangent.")
sin = elementwise(np.sin, "sin", "The sine of x radians.")
cos = elementwise(np.cos, "cos", "The cosine of x radians.")


@primitive
def astype(x: Array, /, dtype: np.dtype[Any] = np.dtype(np.float32)) -> Array:  # noqa: B008
    """x in another dtype."""
    return x.astype(checked("astype", dtype))


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
