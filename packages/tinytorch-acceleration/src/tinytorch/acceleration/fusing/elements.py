"""What each elementwise primitive is in a compiled loop: an expression of its inputs, in one dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .graph import Refusal

Expression = Callable[..., str]


def _binary(operator: str) -> Expression:
    return lambda dtype, x, y: f"{x} {operator} {y}"


def _either(name: str) -> Expression:
    """A function of `elementary` for float32, and one of the C library for float64."""
    return lambda dtype, x: f"{name}32({x})" if dtype == "float32" else f"math.{name}({x})"


def _library(name: str) -> Expression:
    return lambda dtype, *inputs: f"math.{name}({', '.join(inputs)})"


def _exp(dtype: str, x: str) -> str:
    return f"exp32({x})" if dtype == "float32" else f"exp64({x})"


def _power(dtype: str, x: str, y: str) -> str:
    """Powers that most are as products, as the primitive computes them."""
    one = f"{dtype}(1.0)"
    short = {
        -2.0: f"{one} / ({x} * {x})", -1.5: f"{one} / ({x} * math.sqrt({x}))", -1.0: f"{one} / {x}",
        -0.5: f"{one} / math.sqrt({x})", 0.0: one, 0.5: f"math.sqrt({x})", 1.0: x, 1.5: f"math.sqrt({x}) * {x}",
        2.0: f"{x} * {x}", 3.0: f"{x} * {x} * {x}", 4.0: f"({x} * {x}) * ({x} * {x})",
    }  # fmt: skip
    if y.startswith(f"{dtype}(") and dtype.startswith("float"):
        try:
            return short[float(y[len(dtype) + 1 : -1])]
        except (KeyError, ValueError):
            return f"{x} ** {y}"
    return f"{x} ** {y}"


def _clip(dtype: str, x: str, low: float | None = None, high: float | None = None) -> str:
    out = x
    if low is not None:
        out = f"({dtype}({low!r}) if {out} < {dtype}({low!r}) else {out})"
    return out if high is None else f"({dtype}({high!r}) if {out} > {dtype}({high!r}) else {out})"


ELEMENTWISE: dict[str, Expression] = {
    "add": _binary("+"), "subtract": _binary("-"), "multiply": _binary("*"), "divide": _binary("/"),
    "maximum": lambda dtype, x, y: f"{x} if ({x} > {y}) | ({x} != {x}) else {y}",
    "minimum": lambda dtype, x, y: f"{x} if ({x} < {y}) | ({x} != {x}) else {y}",
    "power": _power, "where": lambda dtype, c, x, y: f"{x} if {c} else {y}", "clip": _clip,
    "negative": lambda dtype, x: f"-{x}", "abs": lambda dtype, x: f"abs({x})", "astype": lambda dtype, x, **_: x,
    "square": lambda dtype, x: f"{x} * {x}", "sqrt": _library("sqrt"), "exp": _exp, "log": _either("log"),
    "tanh": _either("tanh"), "erf": _either("erf"),
    "expm1": _library("expm1"), "log1p": _library("log1p"), "log2": _library("log2"), "log10": _library("log10"),
    "sin": _library("sin"), "cos": _library("cos"), "tan": _library("tan"), "arcsin": _library("asin"),
    "arccos": _library("acos"), "arctan": _library("atan"), "sinh": _library("sinh"), "cosh": _library("cosh"),
    "arctan2": _library("atan2"),
    "floor": lambda dtype, x: f"np.floor({x})", "ceil": lambda dtype, x: f"np.ceil({x})",
    "sign": lambda dtype, x: f"{x} if {x} != {x} else {dtype}({x} > {dtype}(0)) - {dtype}({x} < {dtype}(0))",
    "relu": lambda dtype, x: f"{dtype}(0) if {x} < {dtype}(0) else {x}",
    "leaky_relu": lambda dtype, x, negative_slope=0.01: f"{dtype}({negative_slope!r}) * {x} if {x} < {dtype}(0) else {x}",  # noqa: E501
    "sigmoid": lambda dtype, x: f"{dtype}(1.0) / ({dtype}(1.0) + {_exp(dtype, f'-{x}')})",
    "equal": _binary("=="), "not_equal": _binary("!="), "less": _binary("<"), "less_equal": _binary("<="),
    "greater": _binary(">"), "greater_equal": _binary(">="),
    "isnan": lambda dtype, x: f"{x} != {x}", "isfinite": lambda dtype, x: f"({x} - {x}) == ({x} - {x})",
    "isinf": lambda dtype, x: f"({x} == {x}) & (({x} - {x}) != ({x} - {x}))",
    "bitwise_and": _binary("&"), "bitwise_or": _binary("|"), "bitwise_xor": _binary("^"),
    "logical_and": lambda dtype, x, y: f"({x} != {dtype}(0)) & ({y} != {dtype}(0))",
    "logical_or": lambda dtype, x, y: f"({x} != {dtype}(0)) | ({y} != {dtype}(0))",
    "logical_xor": lambda dtype, x, y: f"({x} != {dtype}(0)) != ({y} != {dtype}(0))",
    "logical_not": lambda dtype, x: f"{x} == {dtype}(0)",
    "invert": lambda dtype, x: f"not {x}" if dtype == "bool_" else f"~{x}",
}  # fmt: skip

FLOATING = frozenset({
    "divide", "sqrt", "exp", "log", "tanh", "erf", "expm1", "log1p", "log2", "log10", "sin", "cos", "tan", "arcsin",
    "arccos", "arctan", "sinh", "cosh", "arctan2", "sigmoid",
})  # fmt: skip
"""Those that compute of integers, too, in floating point."""

EXPENSIVE = FLOATING - {"divide", "sqrt"} | {"power"}
"""Those that are kept in a row's buffer rather than computed a second time in a later loop over the row."""

COMPARING = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})
OF_INTEGERS = COMPARING | {
    "add", "subtract", "multiply", "negative", "abs", "square", "maximum", "minimum", "where", "astype",
}  # fmt: skip
OF_BOOLEANS = COMPARING | {
    "where", "astype", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "logical_and", "logical_or",
    "logical_xor", "logical_not",
}  # fmt: skip


def common_dtype(operation: str, inputs: list[Any]) -> np.dtype[Any]:
    """What an operation computes in, given dtypes and, for Python numbers, the numbers: as NumPy decides it."""
    if operation == "where":
        inputs = inputs[1:]
    dtype = np.result_type(*inputs)
    return np.dtype(np.float64) if operation in FLOATING and dtype.kind != "f" else dtype


def check_dtype(operation: str, inputs: list[Any]) -> None:
    """Raise Refusal for an operation on dtypes that it is not compiled for."""
    dtype = common_dtype(operation, inputs)
    known = {"b": OF_BOOLEANS, "i": OF_INTEGERS, "u": OF_INTEGERS}.get(dtype.kind)
    if (known is not None and operation not in known) or dtype == np.float16:
        raise Refusal(f"{operation} of {dtype}")
