"""`GrowingCache`: as much memory as the sequence has needed so far."""

from __future__ import annotations

from tinytorch.tensor import Array

from .storage import Storage, StoredCache


class GrowingCache(StoredCache):
    """A cache that doubles its memory whenever the sequence has filled it, up to `max_seq_len` if that is given.

    An entry is copied about once on the average, and at most half of the memory is unused.

    >>> import numpy as np
    >>> cache = GrowingCache(batch_size=1, num_layers=1, num_heads=2, head_dim=4)
    >>> cache.nbytes
    0
    >>> cache.update(0, np.ones((1, 2, 3, 4), np.float32), np.ones((1, 2, 3, 4), np.float32))
    >>> cache.nbytes
    192
    """

    lends = True

    def _allocate(self) -> None:
        sizes = self.batch_size, self.num_heads, self.head_dim
        self._storages = [Storage(*sizes, 0, self.dtype) for _ in range(self.num_layers)]

    def _write(self, layer: int, start: int, keys: Array, values: Array) -> None:
        end = start + keys.shape[2]
        if end > self._storages[layer].capacity:
            self._grow(layer, end)
        self._storages[layer].write(start, keys, values)

    def _grow(self, layer: int, end: int) -> None:
        storage = self._storages[layer]
        capacity = min(max(end, 2 * storage.capacity), self.max_seq_len or 2**63)
        self._storages[layer] = storage.copy(self.seq_pos, capacity)
