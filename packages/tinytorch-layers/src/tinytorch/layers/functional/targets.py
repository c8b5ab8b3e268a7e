"""Integer targets: the class of each row, and how much the row weighs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinytorch.autograd import is_grad_enabled
from tinytorch.tensor import Array, Tensor, array_of

_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


class Targets(NamedTuple):
    """The targets of n rows."""

    target: Array  # (n,) the class of each row, 0 where the row is ignored
    valid: Array | None  # (n,) which rows are not ignored; None where all are valid
    weight: Array | None  # (n,) the weight of each row's class, 0 where the row is ignored; None where each is 1

    @property
    def total_weight(self) -> float:
        return float(len(self.target) if self.weight is None else self.weight.sum(dtype=np.float64))


def read_targets(name: str, scores: Array, targets: Any, ignore_index: int, class_weight: Array | None) -> Targets:
    """Targets (...) for scores (..., C), flattened.

    Raises TypeError for targets that are not integers, ValueError for a shape other than that of `scores` without its
    last axis, IndexError that names a target that is not a class.
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
    index, valid, classes = targets.reshape(-1), None, scores.shape[-1]
    # read as unsigned, a negative number is a very large one: one look tells whether all lie between
    in_range = not index.size or np.maximum.reduce(index.view(_UNSIGNED[index.itemsize])) < classes
    if not in_range or 0 <= ignore_index < classes:
        valid = index != ignore_index
        wrong = index[valid & ((index < 0) | (index >= classes))]
        if wrong.size:
            raise IndexError(
                f"{name}: target {wrong[0]} for {classes} classes; "
                f"targets must lie between 0 and {classes - 1}, or be ignore_index = {ignore_index}"
            )
        index = np.where(valid, index, 0)
    weight = None if class_weight is None else class_weight[index]
    if valid is not None:
        weight = valid.astype(scores.dtype) if weight is None else weight * valid
    return Targets(index, valid, weight)


def read_class_weight(name: str, weight: Any, scores: Tensor) -> Array | None:
    """The weight of each class, for scores (..., C): a copy, so that later changes do not reach a loss.

    Raises ValueError when there is not one for each class, or when gradients are wanted, which no weight gets.
    """
    if weight is None:
        return None
    if isinstance(weight, Tensor) and weight.requires_grad and is_grad_enabled():
        raise ValueError(f"{name}: weight requires gradients, and the weights of classes get none; detach() it")
    array = np.array(array_of(weight), np.result_type(scores.dtype, np.float32))
    if array.shape != scores.shape[-1:]:
        raise ValueError(
            f"{name}: weight of shape {array.shape} for {scores.shape[-1]} classes; it must have one number for each"
        )
    return array
