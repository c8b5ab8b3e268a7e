"""What a training run depends on, out of a trainer and into it: all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tinytorch.tensor import Array

from . import checkpoint, generators
from .batches import Stream

if TYPE_CHECKING:
    from .trainer import Trainer


def collect(trainer: Trainer) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays by name, those of the model shared with it, and the rest as JSON can hold it."""
    optimizer = trainer.optimizer.state_dict()
    arrays = {
        **checkpoint.place(_model(trainer), "model"),
        **checkpoint.place(optimizer["arrays"], "optimizer"),
        **checkpoint.place(trainer.history.state_dict(), "history"),
    }
    meta = {
        "step": trainer.step,
        "columns": trainer.history.columns,  # safetensors keeps no order
        "loss": trainer.loss,
        "data": generators.plain(trainer.stream.state_dict() if trainer.stream is not None else trainer.pending),
        "optimizer": optimizer["meta"],
        "schedule": trainer.schedule.state_dict() if trainer.schedule is not None else None,
        "generators": generators_of(trainer),
        "epoch_generators": trainer.epoch_generators,
        "callbacks": {name: callback.state_dict() for name, callback in trainer.callbacks.stateful().items()},
    }
    return arrays, meta


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    checkpoint.write(path, *collect(trainer))


def load(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    arrays, meta = checkpoint.read(path)
    before, meta_before = collect(trainer)
    before = {name: array.copy() for name, array in before.items()}
    try:
        _apply(trainer, arrays, meta)
    except Exception as error:
        _apply(trainer, before, meta_before)
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"checkpoint: {os.fspath(path)} does not fit, nothing was changed: {reason}") from error
    trainer.stream = None
    trainer.pending = {**meta["data"], "generators": meta["generators"]} if meta["data"] is not None else None


def _apply(trainer: Trainer, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    if meta["data"] is not None and not {"epoch", "batch", "running", "loader"} <= meta["data"].keys():
        raise ValueError("it does not say where the data stood")
    if (meta["schedule"] is None) != (trainer.schedule is None):
        raise ValueError("one of checkpoint and trainer has a schedule, the other has none")
    callbacks = trainer.callbacks.stateful()
    if meta["callbacks"].keys() != callbacks.keys():
        raise ValueError(f"it has states of the callbacks {list(meta['callbacks'])}, here are {list(callbacks)}")
    trainer.model.load_state_dict(checkpoint.pick(arrays, "model"))
    trainer.optimizer.load_state_dict({"arrays": checkpoint.pick(arrays, "optimizer"), "meta": meta["optimizer"]})
    if trainer.schedule is not None:
        trainer.schedule.load_state_dict(meta["schedule"])
    generators.restore(generators.find(trainer.model, trainer.generators), meta["generators"])
    for name, callback in callbacks.items():
        callback.load_state_dict(meta["callbacks"][name])
    columns = checkpoint.pick(arrays, "history")
    trainer.history.load_state_dict({name: columns[name] for name in meta["columns"]})
    trainer.epoch_generators = meta["epoch_generators"]
    trainer.step, trainer.loss = meta["step"], meta["loss"]


def rejoin(trainer: Trainer, stream: Stream, saved: Mapping[str, Any]) -> None:
    """Bring the data to where it stood; what that draws from random generators is undone."""
    found = generators.find(trainer.model, trainer.generators)
    stream.load_state_dict(saved, rewind=lambda: generators.restore(found, trainer.epoch_generators))
    generators.restore(found, saved["generators"])


def generators_of(trainer: Trainer) -> dict[str, Any]:
    return generators.states(generators.find(trainer.model, trainer.generators))


def _model(trainer: Trainer) -> dict[str, Array]:
    """The model's arrays, a shared one under its first name only."""
    once: dict[int, tuple[str, Array]] = {}
    for name, tensor in trainer.model.state_dict().items():
        once.setdefault(id(tensor.data), (name, tensor.data))
    return dict(once.values())
