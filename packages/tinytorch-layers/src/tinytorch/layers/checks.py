"""Checks of the numbers that layers are made with, shared by later stages."""

from __future__ import annotations

import math

import numpy as np

from tinytorch.tensor import Array, check_int

__all__ = ["extremes", "non_negative", "positive", "probability", "real", "row"]


def positive(name: str, **sizes: int) -> None:
    """Refuse sizes that are not integers from 1: TypeError or ValueError, which says that it is `name`'s.

    >>> positive("Linear", in_features=0)
    Traceback (most recent call last):
    ValueError: Linear: in_features is 0; it must be an int, at least 1
    """
    for size_name, size in sizes.items():
        check_int(name, size_name, size, minimum=1)


def row(name: str, what: str, index: int, rows: int) -> int:
    """Return `index`, unless it is not an int (TypeError) or not one of `rows` rows (ValueError).

    >>> row("Embedding", "padding_idx", 5, rows=4)
    Traceback (most recent call last):
    ValueError: Embedding: padding_idx is 5; it must be a row from 0 to 3
    """
    if check_int(name, what, index, minimum=None) not in range(rows):
        raise ValueError(f"{name}: {what} is {index}; it must be a row from 0 to {rows - 1}")
    return index


def non_negative(name: str, eps: float) -> float:
    """Return `eps`, unless it is not a number (TypeError), or is negative or not finite (ValueError)."""
    if not math.isfinite(real(name, "eps", eps)) or eps < 0:
        raise ValueError(f"{name}: eps is {eps}; it must be 0 or a small positive number")
    return eps


def real(name: str, what: str, value: float) -> float:
    """Return `value`, unless it is not a Python or NumPy number: TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: {what} is {value!r}, a {type(value).__name__}; it must be a number")
    return value


def probability(name: str, p: float) -> float:
    """Return `p`, unless it is not a number (TypeError) or not a probability (ValueError).

    >>> probability("Dropout", 0.1)
    0.1
    """
    if not 0 <= real(name, "p", p) <= 1:
        raise ValueError(f"{name}: p is {p}; it must be a probability, from 0 to 1")
    return p


def extremes(numbers: Array) -> tuple[int, int]:
    """The least and the greatest of integers, 0 and -1 where there are none; of a single one without reductions."""
    if numbers.size == 1:
        number = numbers.item()
        return number, number
    return (int(numbers.min()), int(numbers.max())) if numbers.size else (0, -1)
