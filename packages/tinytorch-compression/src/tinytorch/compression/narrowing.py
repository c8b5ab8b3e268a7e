"""Taking rows, columns and channels out of layers, in place: the same parameters, of smaller shapes.

Because the parameters stay the objects they were, an optimizer that remembers the old shapes says so at its next step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import Linear, Module, Parameter
from tinytorch.spatial import BatchNorm2d, Conv2d
from tinytorch.tensor import Array


def take(module: Module, name: str, axis: int, kept: Array) -> None:
    """Keep these places along an axis of a parameter or buffer, and of its mask."""
    for each in (name, f"{name}_mask"):
        tensor: Any = getattr(module, each, None)
        if tensor is not None:
            if isinstance(tensor, Parameter):
                tensor.grad = None
            tensor.data = np.ascontiguousarray(tensor.data.take(kept, axis))


def keep_outputs(layer: Module, kept: Array) -> None:
    """Keep these outputs of a linear layer, convolution or batch norm."""
    if isinstance(layer, Linear):
        take(layer, "weight", 1, kept)
        take(layer, "bias", 0, kept)
        layer.out_features = len(kept)
    elif isinstance(layer, Conv2d):
        take(layer, "weight", 0, kept)
        take(layer, "bias", 0, kept)
        layer.out_channels = len(kept)
    elif isinstance(layer, BatchNorm2d):
        for name in ("weight", "bias", "running_mean", "running_var"):
            take(layer, name, 0, kept)
        layer.num_features = len(kept)


def keep_inputs(layer: Module, kept: Array) -> None:
    """Keep these inputs of a linear layer or convolution."""
    if isinstance(layer, Linear):
        take(layer, "weight", 0, kept)
        layer.in_features = len(kept)
    elif isinstance(layer, Conv2d):
        take(layer, "weight", 1, kept)
        layer.in_channels = len(kept)


def spread(kept: Array, width: int) -> Array:
    """The places of blocks of `width` numbers: [0, 2] and 3 give [0, 1, 2, 6, 7, 8]."""
    places: Array = (kept[:, None] * width + np.arange(width)).reshape(-1)
    return places
