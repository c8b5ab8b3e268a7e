"""Checks of numbers that are not integers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def check_number(owner: str, name: str, value: Any, low: float = 0.0, high: float = math.inf) -> float:
    """`value` as a float between `low` and `high`, neither of them included.

    Raises TypeError when it is not a number, ValueError when it is outside.

    >>> check_number("percentile", "share", 2, high=1)
    Traceback (most recent call last):
    ValueError: percentile: share is 2; it must be above 0 and below 1
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{owner}: {name} is {value!r}, a {type(value).__name__}; it must be a number")
    if not low < value < high:
        above = f"above {low:g}" + ("" if math.isinf(high) else f" and below {high:g}")
        raise ValueError(f"{owner}: {name} is {value}; it must be {above}" + (", finite" if math.isinf(high) else ""))
    return float(value)
