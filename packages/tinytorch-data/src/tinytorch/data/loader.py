"""Batches of a dataset, epoch after epoch, in an order that a seed fixes and a checkpoint can continue."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from tinytorch.tensor import Tensor, check_int, default_generator, generator_for

from .collate import collate as stack
from .dataset import Dataset, Indices
from .prefetch import prefetched

Transform = Callable[..., Any]


class DataLoader:
    """Iterating it is one epoch: batches of `batch_size` samples, the last one smaller unless `drop_last`.

    With `shuffle` each epoch has an order of its own. `generator` (a NumPy generator or a seed; the default generator
    when left out) gives one number per epoch, from which all randomness of that epoch follows. `prefetch` batches are
    made ahead in a background thread; the order stays the same. `collate` makes a batch from a list of samples.
    `transform(inputs, generator=...)` changes the batch, or its first part when the batch is a tuple, list or dict.

    `state_dict()` after any batch and `load_state_dict()` on an equal loader continue with the next batch, also in the
    middle of an epoch. Raises TypeError for a size or generator of another type, ValueError for a size out of range.

    >>> from tinytorch.data import TensorDataset
    >>> loader = DataLoader(TensorDataset([10, 20, 30]), batch_size=2)
    >>> len(loader), list(loader)
    (2, [(Tensor([10, 20]),), (Tensor([30]),)])
    """

    def __init__(
        self, dataset: Dataset[Any] | Sequence[Any], batch_size: int = 1, shuffle: bool = False,
        drop_last: bool = False, generator: np.random.Generator | int | None = None, prefetch: int = 0,
        collate: Callable[[list[Any]], Any] | None = None, transform: Transform | None = None,
    ) -> None:  # fmt: skip
        if isinstance(generator, int | np.integer):
            generator = np.random.default_rng(check_int("DataLoader", "generator", generator))
        self._generator = None if generator is None else generator_for("DataLoader", generator)
        self.dataset = dataset
        self.batch_size = check_int("DataLoader", "batch_size", batch_size, minimum=1)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.prefetch = check_int("DataLoader", "prefetch", prefetch)
        self.collate = collate
        self.transform = transform
        self.epoch = 0  # epochs begun
        self.position = 0  # batches of the current epoch handed out
        self._seed = 0  # of the current epoch
        self._resumed = False

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    @property
    def generator(self) -> np.random.Generator:
        return self._generator if self._generator is not None else default_generator()

    def __iter__(self) -> Iterator[Any]:
        if not self._resumed:
            self.epoch += 1
            self.position = 0
            if self.shuffle or self.transform is not None:
                self._seed = int(self.generator.integers(2**63))
        self._resumed = False
        batches = self._batches(self._seed, self.position)
        if self.prefetch:
            batches = prefetched(batches, self.prefetch)
        return self._count(batches, self.epoch, self.position)

    def _count(self, batches: Generator[Any, None, None], epoch: int, position: int) -> Generator[Any, None, None]:
        with closing(batches):
            for number, batch in enumerate(batches, start=position + 1):
                if self.epoch == epoch:  # an older iteration that goes on says nothing about the current epoch
                    self.position = number
                yield batch

    def _batches(self, seed: int, first: int) -> Generator[Any, None, None]:
        samples = len(self.dataset)
        order: Indices = _stream(seed, 0).permutation(samples) if self.shuffle else np.arange(samples)
        for number in range(first, len(self)):
            batch = self._gather(order[number * self.batch_size : (number + 1) * self.batch_size])
            yield batch if self.transform is None else _transform(batch, self.transform, _stream(seed, number + 1))

    def _gather(self, indices: Indices) -> Any:
        if self.collate is None and isinstance(self.dataset, Dataset):
            return self.dataset.batch(indices)
        return (self.collate or stack)([self.dataset[int(index)] for index in indices])

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as plain numbers and strings: enough to continue with the next batch."""
        return {
            **self._shape(),
            "epoch": self.epoch,
            "position": self.position,
            "seed": self._seed,
            "generator": self.generator.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken: the next iteration is the rest of its epoch, or the next epoch at its end.

        The generator continues too. Raises ValueError, and changes nothing, when the state is of a different loader.
        """
        expected = self._shape()
        missing = {*expected, "epoch", "position", "seed", "generator"} - set(state)
        if missing:
            raise ValueError(f"DataLoader: the state lacks {sorted(missing)}; it is not what state_dict() gave")
        different = [f"{name} {state[name]} (here {here})" for name, here in expected.items() if state[name] != here]
        if different:
            raise ValueError(f"DataLoader: the state has {', '.join(different)}; make the loader as it was made then")
        if state["epoch"] < 0 or not 0 <= state["position"] <= len(self):
            raise ValueError(
                f"DataLoader: epoch {state['epoch']}, position {state['position']}; an epoch has {len(self)} batches"
            )
        generator = state["generator"]
        if not isinstance(generator, Mapping) or generator.get("bit_generator") != self._bits():
            raise ValueError(f"DataLoader: the state is not of a {self._bits()} generator; give the same kind")
        self.generator.bit_generator.state = dict(generator)
        self.epoch, self.position, self._seed = state["epoch"], state["position"], state["seed"]
        self._resumed = self.epoch > 0 and self.position < len(self)

    def _shape(self) -> dict[str, int | bool]:
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def _bits(self) -> str:
        return type(self.generator.bit_generator).__name__


def _stream(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def _transform(batch: Any, transform: Transform, generator: np.random.Generator) -> Any:
    if isinstance(batch, Tensor):
        return _tensor(transform(batch, generator=generator))
    if isinstance(batch, tuple | list) and batch:
        parts = [_tensor(transform(batch[0], generator=generator)), *batch[1:]]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    if isinstance(batch, dict) and batch:
        first = next(iter(batch))
        return {**batch, first: _tensor(transform(batch[first], generator=generator))}
    raise TypeError(f"DataLoader: cannot transform a batch of type {type(batch).__name__}; transform it in collate")


def _tensor(inputs: Any) -> Any:
    return Tensor(inputs) if isinstance(inputs, np.ndarray) else inputs
