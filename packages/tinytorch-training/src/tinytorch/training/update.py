"""One step of training."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from tinytorch.optim import clip_grad_norm
from tinytorch.tensor import check_int

from .metrics import Mean
from .objective import Objective
from .run import Run


class Update:
    """A step over `accumulate` batches: their losses averaged by `count`, gradients clipped, optimizer and schedule."""

    def __init__(
        self, objective: Objective, count: Callable[[Any], int], accumulate: int, clip_norm: float | None
    ) -> None:
        self.objective, self.count, self.clip_norm = objective, count, clip_norm
        self.accumulate = check_int("Trainer", "accumulate", accumulate, minimum=1)

    def __call__(self, run: Run, batches: list[Any]) -> None:
        """Update the model and note in the run what was seen. Raises FloatingPointError, before, for a loss of NaN."""
        objective, optimizer = self.objective, run.optimizer
        sizes = [self.count(batch) for batch in batches]
        counted = sum(sizes)
        total = 0.0
        means = {name: Mean() for name in objective.metrics} if objective.loss is not None else {}
        run.model.train()
        optimizer.zero_grad()
        for batch, size in zip(batches, sizes, strict=True):
            loss, inputs = objective(batch)
            value = loss.item()
            if not isfinite(value):
                raise FloatingPointError(
                    f"fit: the loss is {value} at step {run.step + 1}; lower the learning rate, clip gradients, "
                    "or look for its origin with tinytorch.autograd.detect_anomaly()"
                )
            share = size / counted
            total += value * share
            (loss if share == 1 else loss * share).backward()
            objective.measure(inputs, size, means)
        row = {"lr": run.lr, **objective.summarize(total, means)}
        if self.clip_norm is not None:
            row["grad_norm"] = clip_grad_norm(run.model.parameters(), self.clip_norm)
        optimizer.step()
        if run.schedule is not None:
            run.schedule.step()
        run.step += 1
        run.loss, run.counted = total, counted
        run.history.record(step=run.step, epoch=run.epoch, **row)
