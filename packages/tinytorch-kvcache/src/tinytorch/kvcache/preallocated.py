"""`KVCache`: all memory at once, no copies afterwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Array

from .errors import CacheError
from .storage import Storage, StoredCache


class KVCache(StoredCache):
    """A cache with room for `max_seq_len` positions of `batch_size` sequences, allocated at once.

    >>> cache = KVCache(batch_size=1, max_seq_len=8, num_layers=1, num_heads=2, head_dim=4)
    >>> key = value = np.ones((1, 2, 3, 4), np.float32)
    >>> cache.update(0, key, value)
    >>> cache.advance(3)
    >>> cache.seq_pos, cache.get(0)[0].shape, cache.nbytes
    (3, (1, 2, 3, 4), 512)
    """

    max_seq_len: int

    def __init__(
        self,
        batch_size: int,
        max_seq_len: int,
        num_layers: int,
        num_heads: int,
        head_dim: int,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        super().__init__(batch_size, num_layers, num_heads, head_dim, max_seq_len, dtype)

    def _allocate(self) -> None:
        sizes = self.batch_size, self.num_heads, self.head_dim, self.max_seq_len
        self._storages = [Storage(*sizes, self.dtype) for _ in range(self.num_layers)]

    @property
    def caches(self) -> list[tuple[Array, Array]]:
        """Memory for keys and values of each layer, each (B, H, max_seq_len, Dh); the first `seq_pos` are filled."""
        return [storage.read(storage.capacity) for storage in self._storages]

    def resize(self, max_seq_len: int) -> None:
        """Make room for another number of positions. Raises CacheError for fewer than the cache holds."""
        self._check_sizes(max_seq_len=max_seq_len)
        if max_seq_len < self.seq_pos:
            raise CacheError(f"resize: to {max_seq_len} positions, the cache holds {self.seq_pos}; truncate() it first")
        self._storages = [storage.resized(max_seq_len, self.seq_pos) for storage in self._storages]
        self._written = [min(written, self.seq_pos) for written in self._written]
        self.max_seq_len = max_seq_len

    def astype(self, dtype: npt.DTypeLike) -> None:
        """Hold numbers of another floating-point dtype, what is there converted."""
        self.dtype = np.dtype(dtype)
        self._storages = [storage.resized(storage.capacity, self.seq_pos, dtype) for storage in self._storages]
        self._written = [min(written, self.seq_pos) for written in self._written]
