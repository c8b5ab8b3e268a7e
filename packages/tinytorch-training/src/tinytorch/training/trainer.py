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
from .display import ProgressLine
from .history import History
from .interruption import Interruption
from .metrics import Mean, Metric
from .run import Run
from .update import Loss, Update


class Trainer:
    """Trains `model` with `optimizer`; `trainer.run` is the record of how far it is.

    Give one of two losses. `loss(outputs, targets)`: batches are pairs (inputs, targets), and outputs are
    `model(inputs)`. `loss_fn(model, batch)`: batches are anything. Metrics are called with the same things as the loss
    and return the mean over the batch or a pair (total, count); 'accuracy' and 'perplexity' are known by name. In the
    second form they are computed on validation data only.

    A step takes `accumulate` batches and averages their losses by what `count(batch)` says of their size: samples, or
    tokens with `unit="tokens"`. Gradients are clipped to `clip_norm`, and `schedule` goes on, after each.

    At the path `checkpoint` everything that the run depends on is written every `checkpoint_every` steps (at the end of
    each epoch, unless given), at the end, and on Ctrl-C or SIGTERM: also the default random generator and those that
    are attributes of modules; name others in `generators`.

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
        self, model: Module, optimizer: Optimizer, loss: Loss | None = None,
        *, loss_fn: Loss | None = None, schedule: Schedule | None = None,
        metrics: Mapping[str, Metric] | Iterable[str | Metric] = (), clip_norm: float | None = None,
        accumulate: int = 1, callbacks: Iterable[Callback] = (), unit: Unit = "samples",
        count: Callable[[Any], int] | None = None, checkpoint: files.PathLike | None = None,
        checkpoint_every: int | None = None, generators: Mapping[str, np.random.Generator] | None = None,
    ) -> None:  # fmt: skip
        if schedule is not None and schedule.optimizer is not optimizer:
            raise ValueError("Trainer: the schedule belongs to another optimizer; attach it to this one")
        own = {id(p) for p in model.parameters()}
        if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            raise ValueError("Trainer: the optimizer has no parameter of this model; make it from model.parameters()")
        self.update = Update(model, loss, loss_fn, metrics, count or counter(unit), accumulate, clip_norm)
        self.callbacks = Callbacks(callbacks)
        self.run = Run(model, optimizer, schedule, unit, generators or {}, self.callbacks.stateful())
        self.checkpoint, self.checkpoint_every = checkpoint, checkpoint_every
        if checkpoint_every is not None:
            check_int("Trainer", "checkpoint_every", checkpoint_every, minimum=1)

    def fit(
        self, train: Iterable[Any], valid: Iterable[Any] | None = None,
        *, epochs: int | None = None, steps: int | None = None, valid_every: int | None = None,
        resume: bool = False, progress: bool | Callback = True,
    ) -> History:  # fmt: skip
        """Train until `epochs` epochs are done or `steps` steps were taken, counted from the beginning of the run.

        `train` and `valid` are loaders, lists or other iterables of batches. Validation takes place after each epoch,
        or every `valid_every` steps. With `resume` the run continues from the file `checkpoint` if there is one. A
        loader with `state_dict`, `load_state_dict` and a length continues where it stood; any other iterable is read
        again from the start of its epoch, and must then give the same batches. The next `fit` after an error of the
        data does the same.

        `progress` is a line that is kept up to date, False for none, or a callback such as `Dashboard()`. On Ctrl-C or
        SIGTERM the step is finished, a checkpoint is written if a path was given, and KeyboardInterrupt or SystemExit
        raised; the second time it is raised at once.

        Raises FloatingPointError when the loss is NaN or infinite, before anything is updated; before the first step
        OSError for a checkpoint that could not be written, or would replace one of a run that has come further.
        """
        if (epochs is None) == (steps is None):
            raise ValueError("fit: give either epochs or steps")
        for name, value, least in (("epochs", epochs, 0), ("steps", steps, 0), ("valid_every", valid_every, 1)):
            if value is not None:
                check_int("fit", name, value, minimum=least)
        if isinstance(valid, Sized) and not len(valid):
            raise ValueError("fit: the validation data has no batch")
        self._prepare(resume)
        run, data = self.run, self.run.data
        data.attach(train)
        left = None if epochs is None else data.steps_until(epochs, self.update.accumulate)
        run.total_steps, run.stopping = steps if left is None else run.step + left, False
        shown = [] if progress is False else [ProgressLine() if progress is True else progress]
        callbacks = Callbacks([*self.callbacks.callbacks, *shown])
        with Interruption() as interruption, callbacks.fitting(run):
            while not (run.stopping or interruption.requested or self._reached(epochs, steps)):
                self._advance(valid, valid_every, callbacks)
            if self.checkpoint is not None and run.saved != (os.fspath(self.checkpoint), run.step):
                run.save_checkpoint(self.checkpoint)
        return run.history

    def evaluate(self, data: Iterable[Any]) -> dict[str, float]:
        """The loss and the metrics over `data`, without dropout or gradients. Raises ValueError without a batch."""
        update = self.update
        modes = [(module, module.training) for module in update.model.modules()]
        loss, means = Mean(), {name: Mean() for name in update.metrics}
        update.model.eval()
        try:
            with no_grad():
                for batch in data:
                    size = update.count(batch)
                    value, inputs = update.forward(batch)
                    loss.add(value.item(), size)
                    update.measure(inputs, size, means)
        finally:
            for module, mode in modes:
                module.training = mode
        if not loss.weight:
            raise ValueError("evaluate: the data has no batch; an iterator can be read only once, give a list")
        return update.summarize(loss.value, means)

    def _prepare(self, resume: bool) -> None:
        """Continue from the checkpoint where that is asked for, and make sure that one can be written."""
        if self.checkpoint is not None:
            if resume and os.path.exists(self.checkpoint):
                self.run.load_checkpoint(self.checkpoint)
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
        elif not data.batch:
            raise ValueError("fit: the training data has no batch")
        if valid is not None and self._is_due(valid_every, batches):
            run.history.add(**{f"valid_{name}": value for name, value in self.evaluate(valid).items()})
            callbacks("on_validation_end", run)
        if not data.running:
            callbacks("on_epoch_end", run)
        if self.checkpoint is not None and self._is_due(self.checkpoint_every, batches):
            run.save_checkpoint(self.checkpoint)

    def _is_due(self, every: int | None, batches: list[Any]) -> bool:
        """Whether an epoch has just ended, or with `every` one more of so many steps was taken."""
        return not self.run.data.running if every is None else bool(batches) and self.run.step % every == 0
