"""When training ends."""

from __future__ import annotations

from math import ceil

from tinytorch.tensor import check_int

from .batches import Stream
from .run import Run


class Goal:
    """So many epochs or so many steps, counted from the beginning of the run."""

    def __init__(self, epochs: int | None, steps: int | None) -> None:
        if (epochs is None) == (steps is None):
            raise ValueError("fit: give either epochs or steps")
        self.epochs = None if epochs is None else check_int("fit", "epochs", epochs)
        self.steps = None if steps is None else check_int("fit", "steps", steps)

    def reached(self, run: Run) -> bool:
        if self.steps is not None:
            return run.step >= self.steps
        return not run.data.running and run.epoch >= (self.epochs or 0)

    def total_steps(self, step: int, data: Stream, accumulate: int) -> int | None:
        """The step at which training will end, where that can be known."""
        if self.epochs is None or data.length is None:
            return self.steps
        whole = ceil(data.length / accumulate)
        rest = ceil((data.length - data.batch) / accumulate) if data.running else 0
        return step + max(self.epochs - data.epoch, 0) * whole + rest
