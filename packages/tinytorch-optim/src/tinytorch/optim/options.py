"""Checks of options, made when an optimizer or a schedule is built."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any

AT_LEAST_ZERO = ("lr", "eps", "weight_decay", "momentum", "dampening", "gamma", "min_lr", "max_lr", "start_factor")
AVERAGES = {"betas": 2, "alpha": 1}  # how much of an average is kept, and of how many averages


def check_options(kind: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError for an option of one of these names that is out of range, infinite or not a number."""
    for name in AT_LEAST_ZERO:
        if name in options and not (_is_number(options[name]) and options[name] >= 0):
            raise ValueError(f"{kind}: {name}={options[name]!r}; it must be a finite number, at least 0")
    for name in AVERAGES.keys() & options.keys():
        value, count = options[name], AVERAGES[name]
        values = value if count > 1 and isinstance(value, tuple | list) else [value]
        if len(values) != count or not all(_is_number(each) and 0 <= each < 1 for each in values):
            raise ValueError(f"{kind}: {name}={value!r}; give {count}, at least 0 and below 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
