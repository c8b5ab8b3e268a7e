"""Batches, epoch after epoch, from anything that can be iterated; and continuing in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from math import ceil
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from tinytorch.tensor import Tensor

from .generators import Generators

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

    def __init__(self, generators: Generators) -> None:
        self.source: Iterable[Any] | None = None
        self.epoch = self.batch = 0
        self._generators = generators
        self._origin: Mapping[str, Any] = {}  # where the random generators stood when the epoch began
        self._batches: Iterator[Any] | None = None
        self._begun = False
        self._pending: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None  # where to go with the next source

    @property
    def length(self) -> int | None:
        """Batches per epoch, where the source says so."""
        return len(self.source) if isinstance(self.source, Sized) else None

    @property
    def running(self) -> bool:
        """Whether an epoch has begun and not ended."""
        return self._batches is not None

    def attach(self, source: Iterable[Any]) -> None:
        """Take batches from `source` from now on. Raises ValueError for one that a state to go to does not fit."""
        if self._pending is not None and self.epoch:
            self._rejoin(source, *self._pending)
        elif self.source is not source:
            self.source, self._batches, self._begun = source, None, False
        self._pending = None

    def begin(self) -> None:
        """Start the next epoch. Raises ValueError for a source that can be read only once, and was."""
        assert self.source is not None
        self._origin = self._generators.state_dict()
        batches = iter(self.source)
        if batches is self.source and self._begun:
            raise ValueError(f"fit: the data ended after {self.batch} batches and cannot start over; give a list")
        self.epoch, self.batch = self.epoch + 1, 0
        self._batches, self._begun = batches, True

    def take(self, count: int) -> list[Any]:
        """Up to `count` batches; fewer, perhaps none, at the end of the epoch, which is then no longer running.

        When the source raises, its iteration is over: the next `attach` continues before the first of these batches.
        """
        assert self._batches is not None
        before = self.state_dict() if count > 1 else None
        try:
            taken = list(islice(self._batches, count))
        except BaseException:
            self.load_state_dict(before or self.state_dict(), self._generators.state_dict())
            raise
        self.batch += len(taken)
        if len(taken) < count or self.batch == self.length:
            self._batches = None
        return taken

    def steps_until(self, epochs: int, accumulate: int) -> int | None:
        """How many steps of `accumulate` batches are left of so many epochs, where that can be known."""
        if self.length is None:
            return None
        rest = ceil((self.length - self.batch) / accumulate) if self.running else 0
        return rest + max(epochs - self.epoch, 0) * ceil(self.length / accumulate)

    def state_dict(self) -> dict[str, Any]:
        if self._pending is not None:
            return dict(self._pending[0])
        loader = self.source.state_dict() if isinstance(self.source, Resumable) else None
        place = {"epoch": self.epoch, "batch": self.batch, "running": self.running, "origin": self._origin}
        return {**place, "loader": loader}

    def load_state_dict(self, state: Mapping[str, Any], generators: Mapping[str, Any]) -> None:
        """Go to where `state` was taken, when the next source is attached, and leave `generators` as they were then."""
        self.epoch, self.batch, self._origin = state["epoch"], state["batch"], state["origin"]
        self.source, self._batches, self._pending = None, None, (state, generators)

    def _rejoin(self, source: Iterable[Any], state: Mapping[str, Any], generators: Mapping[str, Any]) -> None:
        """By the loader's own state, or by passing over the batches that were taken; draws on the way are undone."""
        if isinstance(source, Resumable) != (state["loader"] is not None):
            raise ValueError("fit: the checkpoint is of another kind of loader; give the one that it was made with")
        behind = 0
        if isinstance(source, Resumable):
            source.load_state_dict(state["loader"])
        elif state["running"]:
            behind = state["batch"]
            self._generators.load_state_dict(state["origin"])
        self.source, self._begun = source, False
        if state["running"]:
            self.begin()
            if sum(1 for _ in islice(self._batches or (), behind)) < behind:
                self.load_state_dict(state, generators)
                raise ValueError(f"fit: the checkpoint is at batch {behind} of an epoch; the data has fewer")
        self.epoch, self.batch, self._origin = state["epoch"], state["batch"], state["origin"]
        self._generators.load_state_dict(generators)


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
