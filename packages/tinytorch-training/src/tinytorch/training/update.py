"""One step of training: what is minimized and measured, and how the model is updated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any

from tinytorch.autograd import no_grad
from tinytorch.layers import Module
from tinytorch.optim import clip_grad_norm
from tinytorch.tensor import Tensor, check_int

from .metrics import Mean, Metric, accuracy, name_metrics, perplexity_of
from .run import Run

Loss = Callable[[Any, Any], Tensor]


class Update:
    """A step over `accumulate` batches: their losses averaged by `count`, gradients clipped, optimizer and schedule."""

    def __init__(
        self, model: Module, loss: Loss | None, loss_fn: Loss | None,
        metrics: Mapping[str, Metric] | Iterable[str | Metric], count: Callable[[Any], int], accumulate: int,
        clip_norm: float | None,
    ) -> None:  # fmt: skip
        if (loss is None) == (loss_fn is None):
            raise ValueError("Trainer: give either loss(outputs, targets) or loss_fn(model, batch)")
        self.model, self.loss, self.loss_fn, self.count = model, loss, loss_fn, count
        self.metrics, self.perplexity = name_metrics(metrics)
        if loss is None and accuracy in self.metrics.values():
            raise ValueError("Trainer: 'accuracy' needs outputs and targets; with loss_fn give your own function")
        self.accumulate = check_int("Trainer", "accumulate", accumulate, minimum=1)
        self.clip_norm = clip_norm

    def __call__(self, run: Run, batches: list[Any]) -> None:
        """Update the model and record the step; before that, raise FloatingPointError for a loss that is not finite."""
        sizes = [self.count(batch) for batch in batches]
        counted, total = sum(sizes), 0.0
        means = {name: Mean() for name in self.metrics} if self.loss is not None else {}
        self.model.train()
        run.optimizer.zero_grad()
        for batch, size in zip(batches, sizes, strict=True):
            loss, inputs = self.forward(batch)
            value = loss.item()
            if not isfinite(value):
                raise FloatingPointError(
                    f"fit: the loss is {value} at step {run.step + 1}; lower the learning rate, clip gradients, "
                    "or look for its origin with tinytorch.autograd.detect_anomaly()"
                )
            share = size / counted
            total += value * share
            (loss if share == 1 else loss * share).backward()
            self.measure(inputs, size, means)
        row = {"lr": run.lr, **self.summarize(total, means)}
        if self.clip_norm is not None:
            row["grad_norm"] = clip_grad_norm(self.model.parameters(), self.clip_norm)
        run.optimizer.step()
        if run.schedule is not None:
            run.schedule.step()
        run.step += 1
        run.loss, run.counted = total, counted
        run.history.record(step=run.step, epoch=run.epoch, **row)

    def forward(self, batch: Any) -> tuple[Tensor, tuple[Any, Any]]:
        """The loss of a batch, and what metrics are called with."""
        if self.loss is None:
            assert self.loss_fn is not None
            return self.loss_fn(self.model, batch), (self.model, batch)
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            kind = type(batch).__name__
            raise TypeError(f"Trainer: a batch is a {kind}; loss needs pairs (inputs, targets), loss_fn takes anything")
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
