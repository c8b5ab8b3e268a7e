"""Numbers that layers are made with, refused when no layer could have them. Later stages check theirs alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["non_negative", "positive", "probability", "real", "row"]


def positive(name: str, **sizes: int) -> None:
    """Refuse sizes that are not whole numbers from 1: TypeError, or ValueError, that says it is `name`'s.

    >>> positive("Linear", in_features=0)
    Traceback (most recent call last):
    ValueError: Linear: in_features is 0; it must be at least 1
    """
    for size_name, size in sizes.items():
        if not _whole(size):
            raise TypeError(f"{name}: {size_name} is {size!r}, a {type(size).__name__}; it must be an int")
        if size < 1:
            raise ValueError(f"{name}: {size_name} is {size}; it must be at least 1")


def row(name: str, what: str, place: int, rows: int) -> int:
    """`place`, unless it is no int (TypeError), or none of `rows` rows (ValueError).

    >>> row("Embedding", "padding_idx", 5, rows=4)
    Traceback (most recent call last):
    ValueError: Embedding: padding_idx 5; it must be a row from 0 to 3
    """
    if not _whole(place):
        raise TypeError(f"{name}: {what} is {place!r}, a {type(place).__name__}; it must be an int")
    if not 0 <= place < rows:
        raise ValueError(f"{name}: {what} {place}; it must be a row from 0 to {rows - 1}")
    return place


def non_negative(name: str, eps: float) -> float:
    """`eps`, unless it is no number (TypeError), or negative or not finite (ValueError)."""
    if not math.isfinite(real(name, "eps", eps)) or eps < 0:
        raise ValueError(f"{name}: eps is {eps}; it must be 0 or a small positive number")
    return eps


def real(name: str, what: str, value: float) -> float:
    """`value`, unless it is no Python or NumPy number: TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: {what} is {value!r}, a {type(value).__name__}; it must be a number")
    return value


def probability(name: str, p: float) -> float:
    """`p`, unless it is no number (TypeError), or no probability below 1 (ValueError).

    >>> probability("Dropout", 0.1)
    0.1
    """
    if not 0 <= real(name, "p", p) < 1:
        raise ValueError(f"{name}: p is {p}; it must be a probability from 0 up to, not including, 1")
    return p


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
