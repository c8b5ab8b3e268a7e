"""Early stopping."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import inf, isnan
from typing import Any, Literal

from .run import Run


class EarlyStopping:
    """A callback: stop after `patience` validations in a row in which `monitor` did not improve by `min_delta`.

    `monitor` is a column of the history; `mode` says whether less or more of it is better. Whenever it improves, a
    checkpoint is written to the path `best`, if given. Raises ValueError when the column is not measured.

    >>> EarlyStopping(monitor="valid_accuracy", mode="max", patience=3).best_value
    -inf
    """

    def __init__(
        self, monitor: str = "valid_loss", patience: int = 5, min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min", best: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        if patience < 1 or min_delta < 0 or mode not in ("min", "max"):
            seen = f"patience={patience}, min_delta={min_delta}, mode={mode!r}"
            raise ValueError(f"EarlyStopping: {seen}; they are at least 1, at least 0, and 'min' or 'max'")
        self.monitor, self.patience, self.min_delta, self.mode, self.best = monitor, patience, min_delta, mode, best
        self.best_value, self.waited = inf if mode == "min" else -inf, 0

    def on_fit_start(self, run: Run) -> None:
        if self.waited >= self.patience:  # it had stopped before the checkpoint
            run.stop()

    def on_validation_end(self, run: Run) -> None:
        value = run.history.last(self.monitor)
        if isnan(value) and self.monitor not in run.history.columns:
            raise ValueError(f"EarlyStopping: no column {self.monitor!r}; there are {', '.join(run.history.columns)}")
        gain = self.best_value - value if self.mode == "min" else value - self.best_value
        if gain > self.min_delta:
            self.best_value, self.waited = value, 0
            if self.best is not None:
                run.save_checkpoint(self.best)
        else:
            self.waited += 1
            if self.waited >= self.patience:
                run.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"best_value": self.best_value, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best_value, self.waited = state["best_value"], state["waited"]
