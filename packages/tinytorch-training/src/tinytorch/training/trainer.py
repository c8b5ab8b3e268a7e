"""`Trainer`: the loop around a model, an optimizer and data, which can be stopped anywhere and continued."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from math import ceil, isfinite
from time import perf_counter
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.layers import Module
from tinytorch.optim import Optimizer, Schedule, clip_grad_norm
from tinytorch.tensor import Tensor

from . import state
from .batches import Stream, Unit, counter
from .callbacks import Callback, Callbacks
from .history import History
from .interruption import Interruption
from .metrics import Mean, Metric, accuracy, named_metrics, perplexity_of

PathLike = str | os.PathLike[str]


class Trainer:
    """Trains `model` with `optimizer`.

    Give one of two losses. `loss(outputs, targets)`: batches are pairs (inputs, targets), and outputs are
    `model(inputs)`. `loss_fn(model, batch)`: batches are anything. Metrics are called with the same things as the loss
    and return the mean over the batch or a pair (total, count); 'accuracy' and 'perplexity' are known by name. In the
    second form they are computed on validation data only.

    A step takes `accumulate` batches, whose losses are averaged by what `count(batch)` says of their size: samples, or
    tokens with `unit="tokens"`. Gradients are clipped to `clip_norm`, and `schedule` goes on, after each.

    With the path `checkpoint` everything that the run depends on is written there every `checkpoint_every` steps (at
    the end of each epoch, unless given), at the end, and on Ctrl-C. Random generators that the training draws from are
    the default one and those that modules hold; name others in `generators`.

    >>> from tinytorch.layers import Linear, MSELoss
    >>> from tinytorch.optim import SGD
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
        loss: Callable[[Any, Any], Tensor] | None = None,
        *,
        loss_fn: Callable[[Any, Any], Tensor] | None = None,
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
        if (loss is None) == (loss_fn is None):
            raise ValueError(
                "Trainer: give either loss, called with (outputs, targets), or loss_fn, with (model, batch)"
            )
        if accumulate < 1 or (checkpoint_every is not None and checkpoint_every < 1):
            raise ValueError(f"Trainer: accumulate={accumulate}, checkpoint_every={checkpoint_every}; at least 1 each")
        if schedule is not None and schedule.optimizer is not optimizer:
            raise ValueError("Trainer: the schedule belongs to another optimizer; attach it to this one")
        self.metrics, self.perplexity = named_metrics(metrics)
        if loss is None and accuracy in self.metrics.values():
            raise ValueError(
                "Trainer: 'accuracy' needs outputs and targets; with loss_fn give a function(model, batch)"
            )
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.criterion, self.loss_fn = loss, loss_fn
        self.clip_norm, self.accumulate = clip_norm, accumulate
        self.unit, self.count = unit, count or counter(unit)
        self.checkpoint, self.checkpoint_every = checkpoint, checkpoint_every
        self.generators = dict(generators or {})
        self.callbacks = Callbacks(callbacks)
        self.history = History()
        self.step = 0
        self.loss = float("nan")
        self.counted = 0  # samples or tokens in the latest step
        self.seconds = 0.0  # that the latest step took
        self.total_steps: int | None = None
        self.stream: Stream | None = None
        self.pending: Mapping[str, Any] | None = None  # of a checkpoint: where the data stands, until there is data
        self.epoch_generators: Mapping[str, Any] = {}  # where they stood when the epoch began
        self._stopping = False
        self._saved_at = -1

    @property
    def epoch(self) -> int:
        """The epoch under way, or the latest one, counted from 1; 0 before the first."""
        return self.stream.epoch if self.stream is not None else self.pending["epoch"] if self.pending else 0

    @property
    def lr(self) -> float:
        """The learning rate of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])

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
        """Train until `epochs` epochs are done or `steps` steps were taken, counted from the trainer's beginning.

        `train` and `valid` are loaders, lists or other iterables of batches. Validation takes place after each epoch,
        or every `valid_every` steps. With `resume` it continues from the file `checkpoint` if there is one. A loader
        with `state_dict`, `load_state_dict` and a length continues where it stood; any other iterable is run through
        again from the start of its epoch, and must then give the same batches.

        `progress` is a line that is kept up to date (plain lines where there is no terminal), False for none, or a
        callback such as `Dashboard()`. On Ctrl-C the step is finished, a checkpoint is written if a path was given, and
        KeyboardInterrupt raised; a second Ctrl-C raises it at once. `on_fit_end` is called whatever happens.

        Raises FloatingPointError when the loss is NaN or infinite, before anything is updated.
        """
        if (epochs is None) == (steps is None):
            raise ValueError("fit: give either epochs or steps")
        if resume and self.checkpoint is None:
            raise ValueError("fit: resume needs a Trainer(..., checkpoint=path)")
        if resume and os.path.exists(self.checkpoint or ""):
            self.load_checkpoint(self.checkpoint or "")
        if self.stream is None or self.stream.source is not train:
            self._attach(train)
        self.total_steps = self._total(epochs, steps)
        self._stopping = False
        callbacks = self._with_progress(progress)
        with Interruption() as interruption:
            try:
                callbacks("on_fit_start", self)
                while not self._done(epochs, steps):
                    self._advance(valid, valid_every, callbacks)
                    if interruption.requested:
                        break
                if self.checkpoint is not None and self._saved_at != self.step:
                    self.save_checkpoint(self.checkpoint)
            finally:
                callbacks("on_fit_end", self)
        if interruption.requested:
            raise KeyboardInterrupt
        return self.history

    def stop(self) -> None:
        """End the training after the step under way; for callbacks."""
        self._stopping = True

    def evaluate(self, data: Iterable[Any]) -> dict[str, float]:
        """The loss and the metrics over `data`, without dropout and without gradients.

        Raises ValueError when there is no batch.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        loss = Mean()
        means = {name: Mean() for name in self.metrics}
        self.model.eval()
        try:
            with no_grad():
                for batch in data:
                    weight = self.count(batch)
                    value, inputs = self._forward(batch)
                    loss.add(value.item(), weight)
                    for name, metric in self.metrics.items():
                        means[name].add(metric(*inputs), weight)
        finally:
            for module, mode in modes:
                module.training = mode
        if not loss.weight:
            raise ValueError("evaluate: the data has no batch")
        found = {"loss": loss.value, **{name: mean.value for name, mean in means.items()}}
        return found | ({"perplexity": perplexity_of(loss.value)} if self.perplexity else {})

    def save_checkpoint(self, path: PathLike) -> None:
        """Write everything that the run depends on to one safetensors file, replacing an earlier one in one step.

        Raises FileExistsError when the file there is no checkpoint, OSError when it cannot be written; what was there
        is left as it was.
        """
        state.save(self, path)
        if path == self.checkpoint:
            self._saved_at = self.step

    def load_checkpoint(self, path: PathLike) -> None:
        """Continue where a checkpoint was written: the next `fit` ends bit for bit where the unbroken run ends.

        Raises FileNotFoundError, and ValueError for a file that is damaged, no checkpoint, or of another model,
        optimizer or schedule; then nothing is changed.
        """
        state.load(self, path)
        self._saved_at = self.step if path == self.checkpoint else -1

    def _attach(self, train: Iterable[Any]) -> None:
        stream = Stream(train)
        if self.pending is not None:
            state.rejoin(self, stream, self.pending)
            self.pending = None
        elif self.stream is not None:
            stream.epoch = self.stream.epoch  # other data, and the epochs go on
        self.stream = stream

    def _total(self, epochs: int | None, steps: int | None) -> int | None:
        """The step at which training will end, where that can be known."""
        assert self.stream is not None
        if steps is not None or self.stream.length is None or epochs is None:
            return steps
        whole = ceil(self.stream.length / self.accumulate)
        if not self.stream.running:
            return self.step + max(epochs - self.stream.epoch, 0) * whole
        rest = ceil((self.stream.length - self.stream.batch) / self.accumulate)
        return self.step + max(epochs - self.stream.epoch, 0) * whole + rest

    def _done(self, epochs: int | None, steps: int | None) -> bool:
        assert self.stream is not None
        if self._stopping:
            return True
        if steps is not None:
            return self.step >= steps
        return not self.stream.running and self.stream.epoch >= (epochs or 0)

    def _with_progress(self, progress: bool | Callback) -> Callbacks:
        if progress is False:
            return self.callbacks
        if progress is True:
            from .progress import ProgressLine

            progress = ProgressLine()
        return Callbacks([*self.callbacks.callbacks, progress])

    def _advance(self, valid: Iterable[Any] | None, valid_every: int | None, callbacks: Callbacks) -> None:
        """One step and what follows it, or the end of an epoch that only shows when no batch comes."""
        assert self.stream is not None
        stream = self.stream
        if not stream.running:
            self.epoch_generators = state.generators_of(self)
            stream.begin()
            callbacks("on_epoch_start", self)
        started = perf_counter()
        batches = stream.take(self.accumulate)
        if batches:
            self._update(batches)
            self.seconds = perf_counter() - started
            callbacks("on_step_end", self)
            if valid is not None and valid_every is not None and self.step % valid_every == 0:
                self._validate(valid, callbacks)
        elif not stream.batch:
            raise ValueError("fit: the training data has no batch")
        ended = not batches or stream.batch == stream.length
        if ended:
            stream.end()
            if valid is not None and valid_every is None:
                self._validate(valid, callbacks)
            callbacks("on_epoch_end", self)
        due = ended if self.checkpoint_every is None else bool(batches) and self.step % self.checkpoint_every == 0
        if due and self.checkpoint is not None:
            self.save_checkpoint(self.checkpoint)

    def _update(self, batches: list[Any]) -> None:
        sizes = [self.count(batch) for batch in batches]
        self.counted = sum(sizes)
        total = 0.0
        measured = {name: Mean() for name in self.metrics} if self.criterion is not None else {}
        self.model.train()
        self.optimizer.zero_grad()
        for batch, size in zip(batches, sizes, strict=True):
            loss, inputs = self._forward(batch)
            value = loss.item()
            if not isfinite(value):
                raise FloatingPointError(
                    f"fit: the loss is {value} at step {self.step + 1}; lower the learning rate, clip gradients, "
                    "or look for its origin with tinytorch.autograd.detect_anomaly()"
                )
            share = size / self.counted
            total += value * share
            (loss if share == 1 else loss * share).backward()
            if measured:
                with no_grad():
                    for name, mean in measured.items():
                        mean.add(self.metrics[name](*inputs), size)
        row = {name: mean.value for name, mean in measured.items()}
        if self.clip_norm is not None:
            row["grad_norm"] = clip_grad_norm(self.model.parameters(), self.clip_norm)
        lr = self.lr
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.step += 1
        self.loss = total
        if self.perplexity:
            row["perplexity"] = perplexity_of(total)
        self.history.record(step=self.step, epoch=self.epoch, loss=total, lr=lr, **row)

    def _forward(self, batch: Any) -> tuple[Tensor, tuple[Any, Any]]:
        """The loss of a batch, and what metrics are called with."""
        if self.criterion is None:
            assert self.loss_fn is not None
            return self.loss_fn(self.model, batch), (self.model, batch)
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(
                f"Trainer: a batch is a {type(batch).__name__}; loss needs pairs (inputs, targets), "
                "loss_fn(model, batch) takes anything"
            )
        outputs = self.model(batch[0])
        return self.criterion(outputs, batch[1]), (outputs, batch[1])

    def _validate(self, valid: Iterable[Any], callbacks: Callbacks) -> None:
        self.history.add(**{f"valid_{name}": value for name, value in self.evaluate(valid).items()})
        callbacks("on_validation_end", self)
