"""Batches, one epoch after the other, from anything that can be iterated; and going on in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from tinytorch.tensor import Tensor

Unit = Literal["samples", "tokens"]


@runtime_checkable
class Resumable(Protocol):
    """A loader that knows its place, such as `tinytorch.data.DataLoader`."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any], /) -> None: ...


class Stream:
    """Where training stands in its data: the epoch (from 1; 0 before the first) and the batches taken of it."""

    def __init__(self, source: Iterable[Any]) -> None:
        self.source = source
        self.epoch = 0
        self.batch = 0
        self._batches: Iterator[Any] | None = None
        self._begun = False

    @property
    def length(self) -> int | None:
        """Batches in an epoch, where the source says so."""
        return len(self.source) if isinstance(self.source, Sized) else None

    @property
    def running(self) -> bool:
        """Whether an epoch has begun and not ended."""
        return self._batches is not None

    def begin(self) -> None:
        """Start the next epoch. Raises ValueError for a source that can be run through only once, and was."""
        batches = iter(self.source)
        if batches is self.source and self._begun:
            raise ValueError(
                f"fit: the data ended after {self.batch} batches and cannot start over; give a loader or a list"
            )
        self._batches, self._begun = batches, True
        self.epoch += 1
        self.batch = 0

    def take(self, count: int) -> list[Any]:
        """Up to `count` batches; fewer, perhaps none, at the end of the epoch."""
        assert self._batches is not None
        taken: list[Any] = []
        while len(taken) < count:
            try:
                taken.append(next(self._batches))
            except StopIteration:
                break
            self.batch += 1
        return taken

    def end(self) -> None:
        """Close the epoch."""
        self._batches = None

    def state_dict(self) -> dict[str, Any]:
        loader = self.source.state_dict() if isinstance(self.source, Resumable) else None
        return {"epoch": self.epoch, "batch": self.batch, "running": self.running, "loader": loader}

    def load_state_dict(self, state: Mapping[str, Any], rewind: Callable[[], None]) -> None:
        """Go to where `state` was taken: by the loader's own state, or by passing over the batches that were taken.

        `rewind` puts random generators back to the start of the epoch, for sources that draw when iteration begins.
        """
        if isinstance(self.source, Resumable) != (state["loader"] is not None):
            raise ValueError("fit: the checkpoint is of another kind of loader; give the one that it was made with")
        if isinstance(self.source, Resumable):
            self.source.load_state_dict(state["loader"])
        if state["running"]:
            self.epoch = state["epoch"] - 1
            if not isinstance(self.source, Resumable):
                rewind()
            self.begin()
            if not isinstance(self.source, Resumable) and len(self.take(state["batch"])) < state["batch"]:
                raise ValueError(f"fit: the checkpoint is at batch {state['batch']} of an epoch; the data has fewer")
        self.epoch, self.batch = state["epoch"], state["batch"]


def counter(unit: Unit) -> Callable[[Any], int]:
    """How much a batch holds: the samples, or the elements (tokens), of its first array."""
    if unit not in ("samples", "tokens"):
        raise ValueError(f"Trainer: unit={unit!r}; it is 'samples' or 'tokens', count= counts anything")

    def count(batch: Any) -> int:
        first = _first(batch)
        if first is None or first.ndim == 0:
            raise ValueError(f"Trainer: a batch of type {type(batch).__name__} holds no array to count; give count=")
        return first.shape[0] if unit == "samples" else first.size

    return count


def _first(batch: Any) -> Tensor | np.ndarray[Any, Any] | None:
    if isinstance(batch, Tensor | np.ndarray):
        return batch
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    return next((found for part in parts if (found := _first(part)) is not None), None)
