"""`Storage`: where keys and values of one layer lie; `StoredCache`: the caches that are made of it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Array

from .cache import Cache


class Storage:
    """Room for `capacity` keys and values of one layer.

    Keys are stored transposed, (B, H, Dh, S): the scores of a query against all of them are then one product along
    contiguous memory.
    """

    __slots__ = ("keys", "values")

    def __init__(self, batch_size: int, num_heads: int, head_dim: int, capacity: int, dtype: npt.DTypeLike) -> None:
        self.keys: Array = np.empty((batch_size, num_heads, head_dim, capacity), dtype)
        self.values: Array = np.empty((batch_size, num_heads, capacity, head_dim), dtype)

    @property
    def capacity(self) -> int:
        return self.values.shape[2]

    def write(self, start: int, keys: Array, values: Array) -> None:
        """Put (B, H, t, Dh) at `start`."""
        end = start + keys.shape[2]
        self.keys[..., start:end] = keys.swapaxes(-1, -2)
        self.values[:, :, start:end] = values

    def read(self, end: int) -> tuple[Array, Array]:
        """The first `end` keys and values, (B, H, end, Dh), as views."""
        return self.keys[..., :end].swapaxes(-1, -2), self.values[:, :, :end]

    def copy(self, used: int, capacity: int, rows: Any = slice(None), dtype: npt.DTypeLike | None = None) -> Storage:
        """Another storage with the `used` first entries of the sequences `rows`."""
        keys, values = self.keys[rows, ..., :used], self.values[rows, :, :used]
        B, num_heads, head_dim, _ = keys.shape
        other = Storage(B, num_heads, head_dim, capacity, keys.dtype if dtype is None else dtype)
        other.keys[..., :used], other.values[:, :, :used] = keys, values
        return other


class StoredCache(Cache):
    """A cache that keeps its entries in one or more `Storage` for each layer, one behind the other."""

    lends: ClassVar[bool] = False
    """Whether position i of a layer is entry i of its one storage, so that `reserve` may give it away."""

    _storages: list[Storage]

    @property
    def _used(self) -> int:
        """How many entries stand for the positions before seq_pos."""
        return self.seq_pos

    def reserve(self, n: int) -> list[Storage] | None:
        if not self.lends:
            return None
        for layer, storage in enumerate(self._storages):
            end = self._check_room(layer, n)
            if end > storage.capacity:
                self._grow(layer, end)
        self._written = [self.seq_pos + n] * self.num_layers
        return self._storages

    def _grow(self, layer: int, end: int) -> None:
        """Make room for `end` positions in a storage that is too short."""
        raise NotImplementedError

    def buffers(self) -> list[Array]:
        return [buffer for storage in self._storages for buffer in (storage.keys, storage.values)]

    def _write(self, layer: int, start: int, keys: Array, values: Array) -> None:
        self._storages[layer].write(start, keys, values)

    def _read(self, layer: int, end: int) -> tuple[Array, Array]:
        return self._storages[layer].read(end)

    def _select(self, rows: Array) -> None:
        self._storages = [storage.copy(self._used, storage.capacity, rows) for storage in self._storages]

    def _content(self) -> dict[str, Array]:
        content = {}
        for i, storage in enumerate(self._storages):
            content[f"{i}.keys"], content[f"{i}.values"] = storage.read(self._used)
        return content

    def _fill(self, content: dict[str, Array]) -> None:
        for i, storage in enumerate(self._storages):
            keys, values = content[f"{i}.keys"], content[f"{i}.values"]
            wanted = *storage.values.shape[:2], self._used, storage.values.shape[3]
            check_entries(i, keys, values, wanted, storage.keys.dtype)
            if self._used > storage.capacity:
                self._storages[i] = storage = storage.copy(0, self._used)
            storage.write(0, keys, values)


def check_entries(i: int, keys: Array, values: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse entries from a file that have another shape or dtype than the cache."""
    for name, x in (("keys", keys), ("values", values)):
        if x.shape != shape or x.dtype != dtype:
            raise ValueError(f"{i}.{name} is {x.dtype} {x.shape}; it should be {dtype} {shape}")
