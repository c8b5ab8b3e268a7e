"""What is minimized, and what is measured with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tinytorch.autograd import no_grad
from tinytorch.layers import Module
from tinytorch.tensor import Tensor

from .metrics import Mean, Metric, accuracy, name_metrics, perplexity_of

Loss = Callable[[Any, Any], Tensor]


class Objective:
    """`loss(outputs, targets)` for pairs or `loss_fn(model, batch)` for batches of any kind, and the metrics."""

    def __init__(
        self,
        model: Module,
        loss: Loss | None,
        loss_fn: Loss | None,
        metrics: Mapping[str, Metric] | Iterable[str | Metric],
    ) -> None:
        if (loss is None) == (loss_fn is None):
            raise ValueError(
                "Trainer: give either loss, called with (outputs, targets), or loss_fn, with (model, batch)"
            )
        self.model, self.loss, self.loss_fn = model, loss, loss_fn
        self.metrics, self.perplexity = name_metrics(metrics)
        if loss is None and accuracy in self.metrics.values():
            raise ValueError(
                "Trainer: 'accuracy' needs outputs and targets; with loss_fn give a function(model, batch)"
            )

    def __call__(self, batch: Any) -> tuple[Tensor, tuple[Any, Any]]:
        """The loss of a batch, and what metrics are called with."""
        if self.loss is None:
            assert self.loss_fn is not None
            return self.loss_fn(self.model, batch), (self.model, batch)
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(
                f"Trainer: a batch is a {type(batch).__name__}; loss needs pairs (inputs, targets), "
                "loss_fn(model, batch) takes anything"
            )
        outputs = self.model(batch[0])
        return self.loss(outputs, batch[1]), (outputs, batch[1])

    def measure(self, inputs: tuple[Any, Any], size: int, means: Mapping[str, Mean]) -> None:
        """Add the metrics of one batch to their means."""
        with no_grad():
            for name, mean in means.items():
                mean.add(self.metrics[name](*inputs), size)

    def summarize(self, loss: float, means: Mapping[str, Mean]) -> dict[str, float]:
        """What is reported of a mean loss and the means of metrics."""
        found = {"loss": loss, **{name: mean.value for name, mean in means.items()}}
        return found | ({"perplexity": perplexity_of(loss)} if self.perplexity else {})
