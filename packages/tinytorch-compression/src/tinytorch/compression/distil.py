"""A recipe: a small model learns to answer as a large one does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from tinytorch.autograd import no_grad
from tinytorch.layers import Module
from tinytorch.optim import AdamW, Optimizer, Schedule
from tinytorch.tensor import Tensor
from tinytorch.training import Callback, History, Trainer

from .distillation import DistillationLoss


def distil(
    student: Module, teacher: Module, train: Iterable[Any], valid: Iterable[Any] | None = None,
    *, loss: DistillationLoss | None = None, hidden: Mapping[str, str] | None = None,
    optimizer: Callable[[Module], Optimizer] = AdamW, schedule: Callable[[Optimizer], Schedule] | None = None,
    epochs: int | None = None, steps: int | None = None, valid_every: int | None = None, resume: bool = False,
    progress: bool | Callback = True, **options: Any,
) -> History:  # fmt: skip
    """Train `student` to give what `teacher` gives, and return the history; the teacher is left as it is.

    Batches are pairs (inputs, targets), as for `Trainer`; both models are called with the inputs. `loss` is
    `DistillationLoss()` unless given. `hidden` names, by modules of the student, the modules of the teacher whose
    outputs they should match; `loss` is then made with their sizes. `optimizer` is a function of the module that is
    trained (the student and the projections of the loss), such as `lambda m: AdamW(m, lr=3e-4)`; `schedule` one of the
    optimizer. The other arguments are those of `Trainer` and its `fit`: checkpoints, clipping, callbacks, resuming.

    Raises as `Trainer` does, ShapeError where the models do not fit, AttributeError for a name that is no module, and
    ValueError for a teacher that is the student, or has a key-value cache enabled.

    >>> from tinytorch.layers import Linear
    >>> from tinytorch.tensor import randint, randn
    >>> batches = [(randn(8, 4), randint(0, 3, (8,)))]
    >>> history = distil(Linear(4, 3), Linear(4, 3), batches, steps=50, progress=False)
    >>> len(history)
    50
    """
    if teacher is student:
        raise ValueError("distil: teacher and student are one model; give a copy of it, which is not trained")
    if getattr(teacher, "_cache_enabled", False):
        raise ValueError("distil: the teacher has a cache, which inputs would continue; disable_kv_cache(teacher)")
    pair = Distillation(student, teacher, DistillationLoss() if loss is None else loss, hidden or {})
    made = optimizer(pair)
    trainer = Trainer(
        pair, made, loss_fn=lambda model, batch: model(*_inputs_and_targets(batch)),
        schedule=None if schedule is None else schedule(made), **options,
    )  # fmt: skip
    modes = [(module, module.training) for module in teacher.modules()]
    teacher.eval()
    try:
        return trainer.fit(
            train, valid, epochs=epochs, steps=steps, valid_every=valid_every, resume=resume, progress=progress
        )
    finally:
        for module, mode in modes:
            module.training = mode


class Distillation(Module):
    """Inputs and targets -> the loss. The teacher is no part of it: it is neither trained nor saved."""

    def __init__(self, student: Module, teacher: Module, loss: DistillationLoss, hidden: Mapping[str, str]) -> None:
        self.student, self.loss = student, loss
        self.teacher: Callable[[], Module] = lambda: teacher  # a function hides it from `parameters()` and state dicts
        self.pairs = tuple((name, hidden[name]) for name in hidden)
        for name, other in self.pairs:
            student.get_submodule(name)
            teacher.get_submodule(other)

    def forward(self, inputs: Any, targets: Any) -> Tensor:
        teacher: Module = self.teacher()
        with no_grad(), _outputs_of(teacher, [name for _, name in self.pairs]) as wanted:
            theirs = teacher(inputs)
        with _outputs_of(self.student, [name for name, _ in self.pairs]) as found:
            logits = self.student(inputs)
        return self.loss(logits, theirs, targets, found, wanted)


@contextmanager
def _outputs_of(model: Module, names: list[str]) -> Iterator[list[Any]]:
    """What the named modules return meanwhile, in the order of the names."""
    outputs: list[Any] = [None] * len(names)

    def note(place: int) -> Callable[..., None]:
        def hook(module: Module, args: Any, kwargs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                kind = type(output).__name__
                raise TypeError(f"distil: {names[place]} returned a {kind}; name modules that return one tensor")
            outputs[place] = output

        return hook

    with ExitStack() as handles:
        for place, name in enumerate(names):
            handles.callback(model.get_submodule(name).register_forward_hook(note(place)).remove)
        yield outputs
    for name, output in zip(names, outputs, strict=True):
        if output is None:
            raise ValueError(f"distil: {name} was not called; name modules that every forward calls")


def _inputs_and_targets(batch: Any) -> Any:
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch
    raise TypeError(f"distil: a batch is a {type(batch).__name__}; give pairs (inputs, targets)")
