"""Callbacks: what is called during training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

from .run import Run

EVENTS = ("on_fit_start", "on_epoch_start", "on_step_end", "on_validation_end", "on_epoch_end", "on_fit_end")
Callback: TypeAlias = Callable[[Run], Any] | object
"""A function of the run, called after every step, or an object with any of the methods `EVENTS`, each given the run.

One that also has `state_dict` and `load_state_dict` is saved in checkpoints. What it raises ends the training.
"""


class Callbacks:
    """Callbacks, by the events at which they are called."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = list(callbacks)
        self._called: dict[str, list[Callable[[Run], Any]]] = {event: [] for event in EVENTS}
        for callback in self.callbacks:
            methods = {event: getattr(callback, event) for event in EVENTS if hasattr(callback, event)}
            if not methods and not callable(callback):
                raise TypeError(f"Trainer: callback {callback!r} is not a function and has none of {', '.join(EVENTS)}")
            for event, method in (methods or {"on_step_end": callback}).items():
                self._called[event].append(method)

    def __call__(self, event: str, run: Run) -> None:
        for method in self._called[event]:
            method(run)

    @contextmanager
    def fitting(self, run: Run) -> Iterator[None]:
        """Around the training: the start, and at the end each `on_fit_end`, whatever the training or another raises."""
        with ExitStack() as ends:
            for method in reversed(self._called["on_fit_end"]):
                ends.callback(method, run)
            self("on_fit_start", run)
            yield

    def stateful(self) -> dict[str, Any]:
        """The callbacks with a state of their own, by name."""
        return {
            f"{place} {type(callback).__name__}": callback
            for place, callback in enumerate(self.callbacks)
            if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict")
        }
