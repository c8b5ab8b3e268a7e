"""NumPy's own functions on tensors: `np.exp(t)` is `exp(t)`, goes through dispatch and is a tensor.

A function that has no counterpart is computed on the arrays, and refused by name where that would lose a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .dtypes import holds_gradients
from .numpy_table import CONSTANT, FUNCTIONS, REDUCTIONS, UFUNCS, on_arrays
from .tensor import Tensor


def ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """Answer `np.exp(t)`, `np.add(t, u)`, `np.add.reduce(t, axis)`, and `array += t`."""
    if method == "__call__" and ufunc in UFUNCS:
        if not kwargs:
            return UFUNCS[ufunc](*inputs)
        if kwargs.keys() == {"out"} and not holds_gradients([inputs, kwargs]) and type(kwargs["out"][0]) is np.ndarray:
            return on_arrays(ufunc, inputs, kwargs)
    if method == "reduce" and ufunc in REDUCTIONS and kwargs.keys() <= {"axis", "keepdims"}:
        axis = inputs[1] if len(inputs) > 1 else kwargs.get("axis", 0)
        return REDUCTIONS[ufunc](inputs[0], axis=axis, keepdims=kwargs.get("keepdims", False))
    what = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if "out" in kwargs:
        raise TypeError(f"{what}: out= with a tensor; operations make new tensors, use t.data to write in place")
    extra = f" with {', '.join(kwargs)}" if kwargs else ""
    raise TypeError(f"{what}{extra} has no form for tensors; compute on t.data if no gradient is wanted")


def function(self: Tensor, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """Answer `np.sum(t)`, `np.concatenate([t, u])` and the like."""
    if function not in FUNCTIONS:
        if function in CONSTANT or not holds_gradients([args, kwargs]):
            return on_arrays(function, args, kwargs)
        name = f"{getattr(function, '__module__', 'numpy')}.{function.__name__}".replace("numpy", "np", 1)
        raise TypeError(f"{name} has no form for tensors that require gradients; compute on t.data if none is wanted")
    try:
        return FUNCTIONS[function](*args, **kwargs)
    except TypeError as error:
        _, called, wrong = str(error).partition("() ")
        if not called or "argument" not in wrong:
            raise
        raise TypeError(f"np.{function.__name__}: {wrong} for tensors; use t.data if no gradient is wanted") from None


Tensor.__array_ufunc__ = ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = function  # type: ignore[attr-defined]
