"""Losses as modules: each compares predictions with targets."""

from __future__ import annotations

from typing import Any

from tinytorch.tensor import Tensor

from . import functional as F
from .functional.reduction import Reduction, checked
from .module import Module


class _Loss(Module):
    def __init__(self, reduction: Reduction = "mean") -> None:
        checked(type(self).__name__, reduction)
        self.reduction = reduction

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """-log softmax(logits)[target], for logits (..., C) and integer targets (...); see `functional.cross_entropy`."""

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
        axis: int = -1,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else Tensor(weight))
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.axis = axis

    def forward(self, logits: Any, targets: Any) -> Tensor:
        return F.cross_entropy(
            logits, targets, self.ignore_index, self.label_smoothing, self.weight, self.reduction, self.axis
        )
