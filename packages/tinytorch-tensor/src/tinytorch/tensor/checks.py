"""Checks that every stage makes of what it is given."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def check_int(owner: str, name: str, value: Any, minimum: int | None = 0) -> int:
    """`value` as an int, NumPy's integers included and booleans not; `owner` and `name` say whose argument it is.
    Raises TypeError when it is not an integer, ValueError when it is below `minimum` (None for no bound).

    >>> check_int("topk", "k", 3), check_int("roll", "shift", -1, minimum=None)
    (3, -1)
    """
    rule = f"{owner}: {name} is {value!r}; it must be an int" + ("" if minimum is None else f", at least {minimum}")
    if isinstance(value, bool | np.bool_):
        raise TypeError(rule)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(rule) from None
    if minimum is not None and number < minimum:
        raise ValueError(rule)
    return number
