"""How the losses of single elements become one number."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Reduction = Literal["mean", "sum", "none"]


def check_reduction(name: str, reduction: str) -> None:
    """Raise ValueError unless `reduction` is one of the three."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction is {reduction!r}; it must be 'mean', 'sum' or 'none'")


def reduce_losses(losses: Any, reduction: str) -> Any:
    """The mean or sum of `losses`, a tensor or an array, or the losses themselves."""
    if reduction == "mean":
        return np.mean(losses)
    return np.sum(losses) if reduction == "sum" else losses
