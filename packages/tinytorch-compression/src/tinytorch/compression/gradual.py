"""Pruning little by little while a model is trained."""

from __future__ import annotations

from typing import Any

from tinytorch.layers import Module
from tinytorch.tensor import check_int

from .layers import Targets, check_amount
from .magnitude import How, prune
from .masks import add_masks


class GradualPruning:
    """A callback of `Trainer` that prunes from `initial` to `amount`: quickly at first, slowly when little is left.

    After step t the share initial + (amount - initial) (1 - (1 - (t - start) / (end - start))³) is pruned, every
    `every` steps between `start` and `end`. The masks are made at once and are part of the model's state, so a run that
    is killed and resumed ends where the unbroken run ends. `how` and `targets` are those of `prune`.

    Raises as `prune` does, and ValueError for steps or amounts in the wrong order.

    Source: Zhu and Gupta 2017, To prune, or not to prune, section 3.

    >>> from tinytorch.layers import Linear
    >>> pruning = GradualPruning(Linear(8, 8), 0.8, end=100)
    >>> [round(pruning.amount_at(step), 2) for step in (0, 25, 50, 100, 200)]
    [0.0, 0.46, 0.7, 0.8, 0.8]
    """

    def __init__(
        self, model: Module, amount: float, *, end: int, start: int = 0, every: int = 1, initial: float = 0.0,
        how: How = "layer", targets: Targets = None,
    ) -> None:  # fmt: skip
        check_int("GradualPruning", "start", start)
        check_int("GradualPruning", "end", end)
        check_int("GradualPruning", "every", every, minimum=1)
        check_amount("GradualPruning", initial)
        check_amount("GradualPruning", amount)
        if end <= start or initial > amount:
            seen = f"from {initial} at step {start} to {amount} at step {end}"
            raise ValueError(f"GradualPruning: {seen}; the end comes after the start, and amounts do not fall")
        add_masks(model, targets)
        self.model, self.amount, self.initial = model, float(amount), float(initial)
        self.start, self.end, self.every, self.how, self.targets = start, end, every, how, targets

    def amount_at(self, step: int) -> float:
        """The share that is pruned after `step` steps."""
        if step < self.start:
            return 0.0
        done = min((step - self.start) / (self.end - self.start), 1.0)
        return self.amount + (self.initial - self.amount) * (1 - done) ** 3

    def on_step_end(self, run: Any) -> None:
        """Prune, where it is time to."""
        due = run.step == self.end or (run.step - self.start) % self.every == 0
        if self.start <= run.step <= self.end and due:
            prune(self.model, self.amount_at(run.step), self.how, self.targets)
