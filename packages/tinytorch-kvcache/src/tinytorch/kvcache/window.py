"""`SlidingWindowCache`: bounded memory for a text without end."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Array, check_int

from .storage import Storage, StoredCache


class SlidingWindowCache(StoredCache):
    """A cache of the last `window` positions and of the first `sinks`, on which attention likes to rest.

    Each query attends to itself, the `window - 1` positions before it, and the sinks: exactly what the whole sequence
    gives under that mask, with positions counted on. As long as the sequence fits, that is full attention. Positions
    leave the memory in bulk, an eighth of the window at a time, so that a step moves little.

    Source: Xiao et al. 2023, Efficient Streaming Language Models with Attention Sinks (arXiv:2309.17453), which counts
    positions inside the cache instead.

    >>> cache = SlidingWindowCache(batch_size=1, num_layers=1, num_heads=2, head_dim=4, window=4, sinks=1)
    >>> for _ in range(100):
    ...     cache.update(0, np.ones((1, 2, 1, 4), np.float32), np.ones((1, 2, 1, 4), np.float32))
    ...     cache.advance()
    >>> cache.seq_pos, cache.positions().tolist()
    (100, [0, 96, 97, 98, 99])
    """

    layout: ClassVar[tuple[str, ...]] = (
        "batch_size", "num_layers", "num_heads", "head_dim", "window", "sinks", "dtype",
    )  # fmt: skip

    def __init__(
        self, batch_size: int, num_layers: int, num_heads: int, head_dim: int, window: int, sinks: int = 4,
        dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.window = check_int("SlidingWindowCache", "window", window, 1)
        self.sinks = check_int("SlidingWindowCache", "sinks", sinks)
        self._dropped = 0  # positions between the sinks and what follows them in the storage
        super().__init__(batch_size, num_layers, num_heads, head_dim, None, dtype)

    def positions(self, n: int = 0) -> Array:
        first = self.sinks if self._dropped else 0
        return np.concatenate((np.arange(first), np.arange(first + self._dropped, self.seq_pos + n)))

    def visible(self, n: int) -> Array | None:
        if self.seq_pos + n <= self.window:
            return None
        keys = self.positions(n)
        queries = np.arange(self.seq_pos, self.seq_pos + n)[:, None]
        return (keys <= queries) & ((keys > queries - self.window) | (keys < self.sinks))

    @property
    def rewindable(self) -> int:
        return self._dropped + self.sinks + self.window - 1 if self._dropped else 0

    @property
    def _used(self) -> int:
        return self.seq_pos - self._dropped

    @property
    def _capacity(self) -> int:
        return self.sinks + self.window + max(1, self.window // 8)

    def _allocate(self) -> None:
        sizes = self.batch_size, self.num_heads, self.head_dim, self._capacity
        self._storages = [Storage(*sizes, self.dtype) for _ in range(self.num_layers)]

    def _write(self, layer: int, start: int, keys: Array, values: Array) -> None:
        used = start - self._dropped
        end = used + keys.shape[2]
        if end > self._storages[layer].capacity:  # a long prompt, until it is advanced over
            self._storages[layer] = self._storages[layer].copy(used, end)
        self._storages[layer].write(used, keys, values)

    def _read(self, layer: int, end: int) -> tuple[Array, Array]:
        return self._storages[layer].read(end - self._dropped)

    def _advanced(self) -> None:
        used, kept = self._used, self.sinks + self.window
        if used < self._capacity:
            return
        for layer, storage in enumerate(self._storages):
            keys, values = storage.read(used)
            if storage.capacity > self._capacity:
                self._storages[layer] = storage.copy(self.sinks, self._capacity)
            self._storages[layer].write(self.sinks, keys[:, :, -self.window :], values[:, :, -self.window :])
        self._dropped += used - kept

    def _truncated(self) -> None:
        if self.seq_pos == 0:
            self._dropped = 0

    def _fill(self, content: dict[str, Array]) -> None:
        self._dropped = self.seq_pos - content["0.keys"].shape[2]
        if self._dropped < 0 or (self._dropped and self._used < self.sinks + self.window):
            raise ValueError(f"{self._used} entries for {self.seq_pos} positions do not fit the window")
        super()._fill(content)
