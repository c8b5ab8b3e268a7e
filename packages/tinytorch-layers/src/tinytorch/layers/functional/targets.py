"""Integer targets: which class is right for each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor

_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def checked_targets(name: str, scores: Array, targets: Any, ignore_index: int) -> tuple[Array, Array | None]:
    """Targets flattened, those to ignore replaced by class 0; and which ones count, or None when all do.

    Raises TypeError for targets that are not integers, ValueError for a shape other than that of `scores` without its
    last axis, IndexError that names a target that is no class.
    """
    targets = np.asarray(targets)
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise ValueError(f"{name}: scores of shape {scores.shape}; the last axis must hold a score for each class")
    if targets.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: targets of shape {targets.shape} and dtype {targets.dtype} for scores of shape {scores.shape}; "
            "they must be integers, the class of each row: astype('int64')"
        )
    if targets.shape != scores.shape[:-1]:
        elsewhere = scores.ndim > 2 and targets.shape == scores.shape[:1] + scores.shape[2:]
        hint = "for classes on axis 1 pass axis=1" if elsewhere else "reshape one of them"
        raise ValueError(
            f"{name}: targets of shape {targets.shape} for scores of shape {scores.shape}; "
            f"there must be one target for each row, {scores.shape[:-1]}: {hint}"
        )
    targets = targets.reshape(-1)
    if targets.size == 0:
        return targets, None
    classes = scores.shape[-1]
    # read as unsigned, a negative number is a very large one: one look tells whether all lie between
    if not 0 <= ignore_index < classes and np.maximum.reduce(targets.view(_UNSIGNED[targets.itemsize])) < classes:
        return targets, None
    counted = targets != ignore_index
    wrong = targets[counted & ((targets < 0) | (targets >= classes))]
    if wrong.size:
        raise IndexError(
            f"{name}: target {wrong[0]} for {classes} classes; "
            f"targets must lie between 0 and {classes - 1}, or be ignore_index = {ignore_index}"
        )
    return np.where(counted, targets, 0), counted


def class_weights(name: str, weight: Any, classes: int, dtype: Any) -> Array | None:
    """The weight of each class, as an array of `dtype`. Raises ValueError when there is not one for each."""
    if weight is None:
        return None
    weight = np.asarray(weight.data if isinstance(weight, Tensor) else weight, dtype)
    if weight.shape != (classes,):
        raise ValueError(
            f"{name}: weight of shape {weight.shape} for {classes} classes; it must have one number for each"
        )
    return weight
