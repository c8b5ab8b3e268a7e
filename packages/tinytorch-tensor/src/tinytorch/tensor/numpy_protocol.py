"""NumPy's own functions on tensors: `np.exp(t)` is `exp(t)`, goes through dispatch and is a tensor.

A function that has no counterpart is refused by name: computing it on the bare array would lose gradients in silence.
`numpy_table.py` says what stands for what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {}
REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {}  # np.add.reduce and its like
FUNCTIONS: dict[Any, Callable[..., Any]] = {}


def ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answer `np.exp(t)`, `np.add(t, u)`, `np.add.reduce(t, axis)`."""
    if method == "__call__" and not kwargs and ufunc in UFUNCS:
        return UFUNCS[ufunc](*inputs)
    if method == "reduce" and ufunc in REDUCTIONS and kwargs.keys() <= {"axis", "keepdims"}:
        axis = inputs[1] if len(inputs) > 1 else kwargs.get("axis", 0)
        return REDUCTIONS[ufunc](inputs[0], axis=axis, keepdims=kwargs.get("keepdims", False))
    what = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if "out" in kwargs:
        raise TypeError(
            f"{what}: out= with a tensor; operations on tensors make new ones, use t.data to write in place"
        )
    extra = f" with {', '.join(kwargs)}" if kwargs else ""
    raise TypeError(f"{what}{extra} has no form for tensors; compute on t.data if no gradient is wanted")


def function(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Answer `np.sum(t)`, `np.concatenate([t, u])` and the like."""
    if function not in FUNCTIONS:
        name = f"{getattr(function, '__module__', 'numpy')}.{function.__name__}".replace("numpy", "np", 1)
        raise TypeError(f"{name} has no form for tensors; compute on t.data if no gradient is wanted")
    try:
        return FUNCTIONS[function](*args, **kwargs)
    except TypeError as error:
        _, called, wrong = str(error).partition("() ")
        if not called or "argument" not in wrong:
            raise
        raise TypeError(
            f"np.{function.__name__}: {wrong} for tensors; compute on t.data if no gradient is wanted"
        ) from None
