"""How the losses of single elements become one number."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Reduction = Literal["mean", "sum", "none"]


def checked(name: str, reduction: str) -> str:
    """`reduction`, unless it is none of the three."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction is {reduction!r}; it must be 'mean', 'sum' or 'none'")
    return reduction


def reduced(losses: Any, reduction: str) -> Any:
    """The mean or sum of `losses`, a tensor or an array, or the losses themselves."""
    if reduction == "mean":
        return np.mean(losses)
    return np.sum(losses) if reduction == "sum" else losses
