"""Sums along one axis of a matrix, as products with a vector of ones: in half the time of NumPy's sums, or less."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array


def sum_of_rows(x: Array) -> Array:
    """(n, m) -> (m,)"""
    return _ones(len(x), x.dtype).dot(x)


def sum_within_rows(x: Array) -> Array:
    """(n, m) -> (n,)"""
    return x.dot(_ones(x.shape[1], x.dtype))


def _ones(n: int, dtype: np.dtype[Any]) -> Array:
    out = np.empty(n, dtype)
    out.fill(1)  # half the time of np.ones
    return out
