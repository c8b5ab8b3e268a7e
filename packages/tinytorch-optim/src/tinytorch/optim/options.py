"""Checks of options, made when an optimizer or a schedule is built."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any


def check_at_least_zero(kind: str, options: Mapping[str, Any], *names: str) -> None:
    """Raise ValueError unless the options are finite numbers of at least 0."""
    for name in names:
        if not (_is_number(options[name]) and options[name] >= 0):
            raise ValueError(f"{kind}: {name}={options[name]!r}; it must be a finite number, at least 0")


def check_averages(kind: str, name: str, value: Any, count: int = 1) -> None:
    """Raise ValueError unless `value`, how much of an average is kept, is at least 0 and below 1; or `count` such."""
    values = value if count > 1 and isinstance(value, tuple | list) else [value]
    if len(values) != count or not all(_is_number(each) and 0 <= each < 1 for each in values):
        raise ValueError(f"{kind}: {name}={value!r}; give {count}, at least 0 and below 1")


def check_steps(kind: str, name: str, count: Any) -> None:
    """Raise ValueError unless `count` is a whole number of at least 1."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"{kind}: {name}={count!r}; it counts steps, give an int of at least 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
