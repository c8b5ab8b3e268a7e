"""Giving a gradient the shape and dtype of what it is the gradient of."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import GraphError
from .registry import Gradient


def sum_to(g: Gradient, home: Any) -> Gradient:
    """`g` in the shape and dtype of `home`: what broadcasting added is summed away. `g` itself where nothing differs.

    Raises GraphError when `home` has integers, or a shape that does not broadcast to that of `g`.

    >>> sum_to(np.ones((2, 3)), np.zeros(3))
    array([2., 2., 2.])
    """
    if home.dtype.kind != "f":
        raise GraphError(
            f"backward: a tensor of dtype {home.dtype} has requires_grad=True; only floating-point tensors have "
            "gradients, convert it with astype first"
        )
    if g.shape != home.shape:
        extra = len(g.shape) - len(home.shape)
        axes = tuple(range(extra)) + tuple(
            axis + extra for axis, size in enumerate(home.shape) if size == 1 and g.shape[axis + extra] != 1
        )
        # halves are summed in single precision: in their own, ten thousand ones are 2048
        wide: Any = {"dtype": np.float32} if isinstance(g, np.ndarray) and g.dtype.char == "e" else {}
        summed = np.sum(g, axis=axes, keepdims=True, **wide) if axes else g
        if summed.shape[max(extra, 0) :] != home.shape:
            raise GraphError(f"backward: a rule gave a gradient of shape {g.shape} for an input of shape {home.shape}")
        g = np.reshape(summed, home.shape)
    return g if g.dtype == home.dtype else g.astype(home.dtype)
