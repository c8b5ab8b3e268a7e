"""`Trainer`: the loop around a model, an optimizer and data, which can be stopped anywhere and continued."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sized
from time import perf_counter
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.layers import Module
from tinytorch.optim import Optimizer, Schedule
from tinytorch.tensor import check_int

from . import checkpoint as files
from .batches import Unit, counter
from .callbacks import Callback, Callbacks
from .history import History
from .interruption import Interruption
from .metrics import Mean, Metric
from .objective import Loss, Objective
from .progress import ProgressLine
from .run import PathLike, Run
from .update import Update


class Trainer:
    """Trains `model` with `optimizer`; `trainer.run` is the record of how far it is.

    Give one of two losses. `loss(outputs, targets)`: batches are pairs (inputs, targets), and outputs are
    `model(inputs)`. `loss_fn(model, batch)`: batches are anything. Metrics are called with the same things as the loss
    and return the mean over the batch or a pair (total, count); 'accuracy' and 'perplexity' are known by name. In the
    second form they are computed on validation data only.

    A step takes `accumulate` batches and averages their losses by what `count(batch)` says of their size: samples, or
    tokens with `unit="tokens"`. Gradients are clipped to `clip_norm`, and `schedule` goes on, after each.

    With the path `checkpoint` everything that the run depends on is written there every `checkpoint_every` steps (at
    the end of each epoch, unless given), at the end, and on Ctrl-C or SIGTERM. The random generators that a checkpoint
    holds are the default one and those in attributes of modules; name others in `generators`.

    Raises ValueError for an optimizer that has no parameter of the model, and for a schedule of another optimizer.

    >>> from tinytorch.layers import Linear, MSELoss
    >>> from tinytorch.optim import SGD
    >>> from tinytorch.tensor import Tensor
    >>> model = Linear(1, 1)
    >>> batch = Tensor([[0.0], [1.0]]), Tensor([[1.0], [3.0]])
    >>> history = Trainer(model, SGD(model, lr=0.5), MSELoss()).fit([batch], steps=200, progress=False)
    >>> history.last("loss") < 1e-6
    True
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Loss | None = None,
        *,
        loss_fn: Loss | None = None,
        schedule: Schedule | None = None,
        metrics: Mapping[str, Metric] | Iterable[str | Metric] = (),
        clip_norm: float | None = None,
        accumulate: int = 1,
        callbacks: Iterable[Callback] = (),
        unit: Unit = "samples",
        count: Callable[[Any], int] | None = None,
        checkpoint: PathLike | None = None,
        checkpoint_every: int | None = None,
        generators: Mapping[str, np.random.Generator] | None = None,
    ) -> None:
        if schedule is not None and schedule.optimizer is not optimizer:
            raise ValueError("Trainer: the schedule belongs to another optimizer; attach it to this one")
        own = {id(p) for p in model.parameters()}
        if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            raise ValueError("Trainer: the optimizer has no parameter of this model; make it from model.parameters()")
        self.objective = Objective(model, loss, loss_fn, metrics)
        self.update = Update(self.objective, count or counter(unit), accumulate, clip_norm)
        self.callbacks = Callbacks(callbacks)
        self.run = Run(model, optimizer, schedule, unit, generators or {}, self.callbacks.stateful())
        self.checkpoint = checkpoint
        self.checkpoint_every = _positive("Trainer", "checkpoint_every", checkpoint_every)

    def fit(
        self,
        train: Iterable[Any],
        valid: Iterable[Any] | None = None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        valid_every: int | None = None,
        resume: bool = False,
        progress: bool | Callback = True,
    ) -> History:
        """Train until `epochs` epochs are done or `steps` steps were taken, counted from the beginning of the run.

        `train` and `valid` are loaders, lists or other iterables of batches. Validation takes place after each epoch,
        or every `valid_every` steps. With `resume` it continues from the file `checkpoint` if there is one; without, a
        checkpoint of more steps is not replaced. A loader with `state_dict`, `load_state_dict` and a length continues
        where it stood; any other iterable is read again from the start of its epoch, and must then give the same
        batches. When the data raises, the next `fit` continues the epoch in the same way.

        `progress` is a line that is kept up to date (plain lines where there is no terminal), False for none, or a
        callback such as `Dashboard()`. On Ctrl-C or SIGTERM the step is finished, a checkpoint is written if a path was
        given, and KeyboardInterrupt or SystemExit raised; the second time it is raised at once. `on_fit_end` is called
        whatever happens.

        Raises FloatingPointError when the loss is NaN or infinite, before anything is updated; FileExistsError and
        OSError, before the first step, for a checkpoint that could not be written.
        """
        if (epochs is None) == (steps is None):
            raise ValueError("fit: give either epochs or steps")
        check_int("fit", "epochs" if steps is None else "steps", epochs if steps is None else steps)
        _positive("fit", "valid_every", valid_every)
        if isinstance(valid, Sized) and not len(valid):
            raise ValueError("fit: the validation data has no batch")
        self._prepare(resume)
        run, data = self.run, self.run.data
        data.attach(train)
        left = None if epochs is None else data.steps_until(epochs, self.update.accumulate)
        run.total_steps = steps if left is None else run.step + left
        run.stopping = False
        shown = [] if progress is False else [ProgressLine() if progress is True else progress]
        callbacks = Callbacks([*self.callbacks.callbacks, *shown])
        with Interruption() as interruption, callbacks.fitting(run):
            while not (run.stopping or interruption.requested or self._reached(epochs, steps)):
                self._advance(valid, valid_every, callbacks)
            if self.checkpoint is not None and not run.is_saved(self.checkpoint):
                self.save_checkpoint(self.checkpoint)
        if interruption.requested:
            interruption.end()
        return run.history

    def evaluate(self, data: Iterable[Any]) -> dict[str, float]:
        """The loss and the metrics over `data`, without dropout and without gradients.

        Raises ValueError when there is no batch.
        """
        model, objective = self.run.model, self.objective
        modes = [(module, module.training) for module in model.modules()]
        loss, means = Mean(), {name: Mean() for name in objective.metrics}
        model.eval()
        try:
            with no_grad():
                for batch in data:
                    size = self.update.count(batch)
                    value, inputs = objective(batch)
                    loss.add(value.item(), size)
                    objective.measure(inputs, size, means)
        finally:
            for module, mode in modes:
                module.training = mode
        if not loss.weight:
            raise ValueError("evaluate: the data has no batch; an iterator can be read only once, give a list")
        return objective.summarize(loss.value, means)

    def save_checkpoint(self, path: PathLike) -> None:
        """Write a checkpoint; see `Run.save_checkpoint`."""
        self.run.save_checkpoint(path)

    def load_checkpoint(self, path: PathLike) -> None:
        """Continue from a checkpoint; see `Run.load_checkpoint`."""
        self.run.load_checkpoint(path)

    def _prepare(self, resume: bool) -> None:
        """Continue from the checkpoint where that is asked for, and make sure that one can be written."""
        if self.checkpoint is not None:
            if resume and os.path.exists(self.checkpoint):
                self.load_checkpoint(self.checkpoint)
            files.check(self.checkpoint, self.run.collect()[1])
        elif resume:
            raise ValueError("fit: resume needs a Trainer(..., checkpoint=path)")

    def _reached(self, epochs: int | None, steps: int | None) -> bool:
        if steps is not None:
            return self.run.step >= steps
        return not self.run.data.running and self.run.epoch >= (epochs or 0)

    def _advance(self, valid: Iterable[Any] | None, valid_every: int | None, callbacks: Callbacks) -> None:
        """One step and what follows it, or the end of an epoch that only shows when no batch comes."""
        run, data = self.run, self.run.data
        if not data.running:
            data.begin()
            callbacks("on_epoch_start", run)
        started = perf_counter()
        batches = data.take(self.update.accumulate)
        if batches:
            self.update(run, batches)
            run.seconds = perf_counter() - started
            callbacks("on_step_end", run)
            if valid is not None and valid_every is not None and run.step % valid_every == 0:
                self._validate(valid, callbacks)
        elif not data.batch:
            raise ValueError("fit: the training data has no batch")
        ended = not batches or data.batch == data.length
        if ended:
            data.end()
            if valid is not None and valid_every is None:
                self._validate(valid, callbacks)
            callbacks("on_epoch_end", run)
        due = ended if self.checkpoint_every is None else bool(batches) and run.step % self.checkpoint_every == 0
        if due and self.checkpoint is not None:
            self.save_checkpoint(self.checkpoint)

    def _validate(self, valid: Iterable[Any], callbacks: Callbacks) -> None:
        self.run.history.add(**{f"valid_{name}": value for name, value in self.evaluate(valid).items()})
        callbacks("on_validation_end", self.run)


def _positive(owner: str, name: str, value: int | None) -> int | None:
    return value if value is None else check_int(owner, name, value, minimum=1)
