"""The record of a training run: what callbacks read, displays show, and checkpoints hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from math import nan
from typing import Any

import numpy as np

from tinytorch.layers import Module
from tinytorch.optim import Optimizer, Schedule
from tinytorch.tensor import Array

from . import checkpoint
from .batches import Stream, Unit
from .checkpoint import PathLike
from .errors import CheckpointError
from .generators import Generators
from .history import History


class Run:
    """Where a training run stands; each callback is called with it.

    `step` counts the updates; `loss`, `counted` (samples or tokens, as `unit` says) and `seconds` belong to the latest.
    `total_steps` is the step at which training will end, None where that cannot be known.
    """

    def __init__(
        self, model: Module, optimizer: Optimizer, schedule: Schedule | None, unit: Unit,
        generators: Mapping[str, np.random.Generator], callbacks: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.model, self.optimizer, self.schedule, self.unit = model, optimizer, schedule, unit
        self.generators, self.callbacks = Generators(model, generators), callbacks
        self.data = Stream(self.generators)
        self.history = History()
        self.step, self.loss, self.counted, self.seconds = 0, nan, 0, 0.0
        self.total_steps: int | None = None
        self.stopping = False
        self.saved: tuple[str, int] | None = None  # where and at which step the latest checkpoint was written

    @property
    def epoch(self) -> int:
        """The epoch under way, or the latest one, counted from 1; 0 before the first."""
        return self.data.epoch

    @property
    def lr(self) -> float:
        """The learning rate of the first group."""
        return self.optimizer.lr

    def stop(self) -> None:
        """End the training after the step under way."""
        self.stopping = True

    def save_checkpoint(self, path: PathLike) -> None:
        """Write everything that the run depends on to one safetensors file, replacing an earlier one in one step.

        Raises FileExistsError when the file there is not a checkpoint, OSError when it cannot be written, TypeError for
        a state that no file can hold; what was there is left as it was.
        """
        checkpoint.write(path, *self.collect())
        self.saved = os.fspath(path), self.step

    def load_checkpoint(self, path: PathLike) -> None:
        """Continue where a checkpoint was written: the next `fit` ends bit for bit where the unbroken run ends.

        Raises FileNotFoundError, and CheckpointError, before anything is changed, for a file that is damaged, not a
        checkpoint, or of another model, optimizer or schedule.
        """
        arrays, meta = checkpoint.read(path)
        before = deepcopy(self.collect())
        try:
            self._take(arrays, meta)
        except Exception as error:
            self._take(*before)
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(f"checkpoint: {path} does not fit, nothing was changed: {reason}") from error
        self.data.load_state_dict(meta["data"], meta["generators"])
        self.saved = os.fspath(path), self.step

    def collect(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays by name, those of the model shared with it, and the rest."""
        optimizer = self.optimizer.state_dict()
        model: dict[int, tuple[str, Array]] = {}
        for name, tensor in self.model.state_dict().items():
            model.setdefault(id(tensor.data), (name, tensor.data))  # a shared one under its first name only
        arrays = {
            **checkpoint.place(dict(model.values()), "model"),
            **checkpoint.place(optimizer["arrays"], "optimizer"),
            **checkpoint.place(self.history.state_dict(), "history"),
        }
        meta = {
            "step": self.step,
            "columns": self.history.columns,  # safetensors keeps no order
            "loss": self.loss,
            "data": self.data.state_dict(),
            "optimizer": optimizer["meta"],
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "generators": self.generators.state_dict(),
            "callbacks": {name: callback.state_dict() for name, callback in self.callbacks.items()},
        }
        return arrays, meta

    def _take(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        if (meta["schedule"] is None) != (self.schedule is None):
            raise ValueError("one of checkpoint and trainer has a schedule, the other has none")
        if meta["callbacks"].keys() != self.callbacks.keys():
            raise ValueError(
                f"it has states of the callbacks {list(meta['callbacks'])}, here are {list(self.callbacks)}"
            )
        self.model.load_state_dict(checkpoint.pick(arrays, "model"))
        self.optimizer.load_state_dict({"arrays": checkpoint.pick(arrays, "optimizer"), "meta": meta["optimizer"]})
        if self.schedule is not None:
            self.schedule.load_state_dict(meta["schedule"])
        self.generators.load_state_dict(meta["generators"])
        for name, callback in self.callbacks.items():
            callback.load_state_dict(meta["callbacks"][name])
        columns = checkpoint.pick(arrays, "history")
        self.history.load_state_dict({name: columns[name] for name in meta["columns"]})
        self.step, self.loss = meta["step"], meta["loss"]
