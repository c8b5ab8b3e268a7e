"""Whether functions compute the same: their results taken apart into arrays and compared number by number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytorch.tensor import Array, TinyTorchError, array_of

__all__ = ["ResultsDifferError", "check_equal", "flatten"]


class ResultsDifferError(TinyTorchError, ValueError):
    """Functions whose speed was to be compared do not return the same."""


def flatten(result: Any) -> dict[str, Array]:
    """The arrays in `result` by where they stand: numbers, arrays, tensors, and lists, tuples, mappings of them.

    None, alone or inside, stands for nothing. Raises TypeError for anything that is not made of numbers or text.

    >>> list(flatten({"logits": [1.0, 2.0], "ids": (np.arange(3), None)}).items())
    [("['logits']", array([1., 2.])), ("['ids'][0]", array([0, 1, 2]))]
    """
    found: dict[str, Array] = {}
    _collect(result, "", found)
    return found


def _collect(value: Any, path: str, found: dict[str, Array]) -> None:
    if value is None:
        return
    if isinstance(value, Mapping):
        for key in value:
            _collect(value[key], f"{path}[{key!r}]", found)
    elif isinstance(value, list | tuple) and not all(isinstance(each, int | float | complex) for each in value):
        for index, each in enumerate(value):
            _collect(each, f"{path}[{index}]", found)
    else:
        array = array_of(value)
        if array.dtype.kind not in "biufcUS":
            raise TypeError(
                f"compare: the result{path} is a {type(value).__name__}, which is not made of numbers or text;\n"
                "return numbers, arrays, tensors, or lists and dicts of them; return None, or pass check=False"
            )
        found[path] = array


def check_equal(
    names: tuple[str, str], first: Mapping[str, Array], second: Mapping[str, Array], rtol: float, atol: float
) -> None:
    """Raise ResultsDifferError unless |second - first| <= atol + rtol |first| everywhere; NaN equals NaN.

    `first` and `second` are results as `flatten` gives them, `names` those of the functions that returned them. A
    result that is None, in which there is nothing, is not compared.

    >>> check_equal(("slow", "fast"), flatten([1.0, 2.0]), flatten([1.0, 2.5]), rtol=1e-5, atol=0)
    Traceback (most recent call last):
    tinytorch.benchmarking.equality.ResultsDifferError: compare: 'fast' does not return what 'slow' returns: 1 of 2 \
numbers differ,
    most at (1,): 2.5 and 2.0, beyond rtol=1e-05 and atol=0; fix it, or state a tolerance that you accept
    """
    if not first or not second:
        return
    head = f"compare: {names[1]!r} does not return what {names[0]!r} returns"
    if first.keys() != second.keys():
        missing = ", ".join(f"result{path}" for path in sorted(first.keys() ^ second.keys())[:3])
        raise ResultsDifferError(f"{head}: only one of them has {missing}")
    for path, expected in first.items():
        if problem := _difference(expected, second[path], rtol, atol):
            raise ResultsDifferError(f"{head}{path and f' at result{path}'}: {problem}")


def _difference(expected: Array, found: Array, rtol: float, atol: float) -> str:
    """What is wrong with `found`, in words; empty when nothing is."""
    if expected.shape != found.shape:
        return f"shapes {found.shape} and {expected.shape}"
    if (expected.dtype.kind in "US") != (found.dtype.kind in "US"):
        return f"text and numbers, {found.dtype} and {expected.dtype}"
    if expected.dtype.kind in "US":
        wrong = np.asarray(expected != found)
        distance = wrong.astype(np.float64)
    else:
        a, b = (x.astype(np.complex128 if "c" in (expected.dtype.kind, found.dtype.kind) else np.float64)
                for x in (expected, found))  # fmt: skip
        wrong = ~np.isclose(b, a, rtol=rtol, atol=atol, equal_nan=True)
        with np.errstate(invalid="ignore"):
            distance = np.where(wrong, np.nan_to_num(abs(b - a), nan=np.inf), 0.0)
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.unravel_index(int(distance.argmax()), wrong.shape))
    return (
        f"{int(wrong.sum())} of {wrong.size} {'texts' if expected.dtype.kind in 'US' else 'numbers'} differ,\n"
        f"most at {place}: {found[place].item()!r} and {expected[place].item()!r}, beyond rtol={rtol:g} and "
        f"atol={atol:g}; fix it, or state a tolerance that you accept"
    )
