"""Losses as modules: each compares predictions with targets."""

from __future__ import annotations

from typing import Any

from tinytorch.tensor import Tensor

from . import functional as F
from .functional.reduction import Reduction, check_reduction
from .functional.regression import check_delta
from .module import Module


class _Loss(Module):
    weight: Tensor | None

    def __init__(self, reduction: Reduction = "mean") -> None:
        check_reduction(type(self).__name__, reduction)
        self.reduction = reduction

    def _keep(self, name: str, weight: Any) -> None:
        self.register_buffer(name, None if weight is None else Tensor(weight))

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """-log softmax(logits)[target], for logits (..., C) and integer targets (...); see `functional.cross_entropy`.

    >>> CrossEntropyLoss()(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931)
    """

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, label_smoothing: float = 0.0,
        reduction: Reduction = "mean", axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(reduction)
        self._keep("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.axis = axis

    def forward(self, logits: Any, targets: Any) -> Tensor:
        return F.cross_entropy(
            logits, targets, self.ignore_index, self.label_smoothing, self.weight, self.reduction, self.axis
        )


class NLLLoss(_Loss):
    """-log_probs[target], for log-probabilities (..., C) and integer targets (...); see `functional.nll_loss`.

    >>> NLLLoss()(Tensor([[-0.5, -1.0]]), Tensor([1]))
    Tensor(1.)
    """

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: Reduction = "mean", axis: int = -1
    ) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self.ignore_index = ignore_index
        self.axis = axis

    def forward(self, log_probs: Any, targets: Any) -> Tensor:
        return F.nll_loss(log_probs, targets, self.ignore_index, self.weight, self.reduction, self.axis)


class MSELoss(_Loss):
    """The squared distance.

    >>> MSELoss()(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """

    def forward(self, x: Any, target: Any) -> Tensor:
        return F.mse_loss(x, target, self.reduction)


class L1Loss(_Loss):
    """The distance.

    >>> L1Loss(reduction="sum")(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """

    def forward(self, x: Any, target: Any) -> Tensor:
        return F.l1_loss(x, target, self.reduction)


class HuberLoss(_Loss):
    """Half the squared distance up to `delta`, linear beyond.

    >>> HuberLoss(reduction="none")(Tensor([0.5, 3.0]), Tensor([0.0, 0.0]))
    Tensor([0.125, 2.5  ])
    """

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = check_delta("HuberLoss", delta)

    def forward(self, x: Any, target: Any) -> Tensor:
        return F.huber_loss(x, target, self.reduction, self.delta)


class BinaryCrossEntropyLoss(_Loss):
    """The cross-entropy of probabilities with targets between 0 and 1, both of one shape.

    >>> BinaryCrossEntropyLoss()(Tensor([0.5]), Tensor([1.0]))
    Tensor(0.6931)
    """

    def __init__(self, weight: Any = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self._keep("weight", weight)

    def forward(self, x: Any, target: Any) -> Tensor:
        return F.binary_cross_entropy(x, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """The cross-entropy of sigmoid(x) with targets between 0 and 1, both of one shape.

    >>> BCEWithLogitsLoss()(Tensor([0.0, 100.0]), Tensor([1.0, 1.0]))
    Tensor(0.3466)
    """

    pos_weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: Reduction = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self._keep("pos_weight", pos_weight)

    def forward(self, x: Any, target: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, target, self.weight, self.pos_weight, self.reduction)
