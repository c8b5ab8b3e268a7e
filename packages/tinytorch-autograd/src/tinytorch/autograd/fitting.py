"""Gradients that need work before they fit what they are the gradients of."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinytorch.tensor as tt
from tinytorch.tensor import Array
from tinytorch.tensor.ops.indexing import unwrap_index

from .errors import GraphError
from .registry import Gradient


class Part:
    """The gradient of an array of `shape` through one piece: `g` at the basic `index`, 0 elsewhere.

    The pieces of one array are added to one array of zeros, so a thousand of them cost what the whole costs.
    """

    __slots__ = ("g", "index", "shape")

    def __init__(self, g: Array, shape: tuple[int, ...], index: Any) -> None:
        self.g, self.shape, self.index = g, shape, index

    def add_to(self, total: Array) -> None:
        total[unwrap_index(self.index)] += self.g

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return tt.index_grad.forward(self.g, self.shape, self.index)


def check_floating(name: str, home: Any) -> None:
    """Refuse to compute the gradient of integers. Raises GraphError."""
    if home.dtype.kind != "f":
        raise GraphError(
            f"{name}: a tensor of dtype {home.dtype} has requires_grad=True; only floating-point tensors have "
            "gradients, convert it with astype first"
        )


def sum_to(g: Gradient, home: Any) -> Gradient:
    """`g` in the shape and dtype of `home`: what broadcasting added is summed away. `g` itself where nothing differs.

    Raises GraphError when `home` has integers, or a shape that does not broadcast to that of `g`.

    >>> sum_to(np.ones((2, 3)), np.zeros(3))
    array([2., 2., 2.])
    """
    check_floating("backward", home)
    if g.shape != home.shape:
        extra = len(g.shape) - len(home.shape)
        axes = tuple(range(extra)) + tuple(
            axis + extra for axis, size in enumerate(home.shape) if size == 1 and g.shape[axis + extra] != 1
        )
        summed = tt.sum.lift(g, axis=axes if len(axes) > 1 else axes[0], keepdims=True) if axes else g
        if summed.shape[max(extra, 0) :] != home.shape:
            raise GraphError(f"backward: a rule gave a gradient of shape {g.shape} for an input of shape {home.shape}")
        g = np.reshape(summed, home.shape)
    return g if g.dtype == home.dtype else g.astype(home.dtype)
