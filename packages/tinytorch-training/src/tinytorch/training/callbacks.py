"""What may be called while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .trainer import Trainer

EVENTS = ("on_fit_start", "on_epoch_start", "on_step_end", "on_validation_end", "on_epoch_end", "on_fit_end")

Callback: TypeAlias = "Callable[[Trainer], Any] | object"
"""A function of the trainer, called after every step, or an object with any of these methods, each given the trainer:

`on_fit_start`, `on_epoch_start`, `on_step_end`, `on_validation_end`, `on_epoch_end`, `on_fit_end`. One that also has
`state_dict` and `load_state_dict` is saved in checkpoints. What it raises ends the training.
"""


class Callbacks:
    """Functions, called after every step, and objects, of which those of the `EVENTS` are called that they have.

    Each is given the trainer. What they raise passes through, and ends the training.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = list(callbacks)
        self._called: dict[str, list[Callable[[Trainer], Any]]] = {event: [] for event in EVENTS}
        for callback in self.callbacks:
            methods = {event: getattr(callback, event) for event in EVENTS if hasattr(callback, event)}
            if not methods:
                if not callable(callback):
                    raise TypeError(
                        f"Trainer: callback {callback!r} is no function and has none of {', '.join(EVENTS)}"
                    )
                methods = {"on_step_end": callback}
            for event, method in methods.items():
                self._called[event].append(method)

    def __call__(self, event: str, trainer: Trainer) -> None:
        for method in self._called[event]:
            method(trainer)

    def stateful(self) -> dict[str, Any]:
        """The callbacks with a state of their own, by name."""
        return {
            f"{place} {type(callback).__name__}": callback
            for place, callback in enumerate(self.callbacks)
            if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict")
        }
