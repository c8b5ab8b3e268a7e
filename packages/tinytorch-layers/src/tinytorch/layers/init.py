"""Starting values: each function writes into a parameter (or tensor) in place and returns it."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from tinytorch.tensor import Array, Tensor, default_generator, note_write

T = TypeVar("T", bound=Tensor)
Generator = np.random.Generator | None


def _write(tensor: T, values: Array | float) -> T:
    tensor.data[...] = values
    note_write(tensor.data)
    return tensor


def zeros(tensor: T) -> T:
    """All 0."""
    return _write(tensor, 0)


def ones(tensor: T) -> T:
    """All 1."""
    return _write(tensor, 1)


def constant(tensor: T, value: float) -> T:
    """All `value`."""
    return _write(tensor, value)


def uniform(tensor: T, low: float = 0.0, high: float = 1.0, generator: Generator = None) -> T:
    """Drawn evenly from low to high."""
    return _write(tensor, (generator or default_generator()).uniform(low, high, tensor.shape))


def normal(tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator = None) -> T:
    """Drawn from the normal distribution."""
    return _write(tensor, (generator or default_generator()).normal(mean, std, tensor.shape))
