"""`KVCache`: all memory at once, no copies afterwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Array, check_int

from .errors import CacheError
from .storage import Storage, StoredCache


class PreallocatedCache(StoredCache):
    """A cache with room for `max_seq_len` positions, allocated at once."""

    max_seq_len: int

    def __init__(
        self, batch_size: int, max_seq_len: int, num_layers: int, num_heads: int, head_dim: int,
        dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        super().__init__(batch_size, num_layers, num_heads, head_dim, max_seq_len, dtype)


class KVCache(PreallocatedCache):
    """A cache with room for `max_seq_len` positions of `batch_size` sequences, allocated at once.

    >>> cache = KVCache(batch_size=1, max_seq_len=8, num_layers=1, num_heads=2, head_dim=4)
    >>> key = value = np.ones((1, 2, 3, 4), np.float32)
    >>> cache.update(0, key, value)
    >>> cache.advance(3)
    >>> cache.seq_pos, cache.get(0)[0].shape, cache.nbytes
    (3, (1, 2, 3, 4), 512)
    """

    lends = True

    def _allocate(self) -> None:
        sizes = self.batch_size, self.num_heads, self.head_dim, self.max_seq_len
        self._storages = [Storage(*sizes, self.dtype) for _ in range(self.num_layers)]

    @property
    def caches(self) -> list[tuple[Array, Array]]:
        """Memory for keys and values of each layer, each (B, H, max_seq_len, Dh); the first `seq_pos` are filled."""
        return [storage.read(storage.capacity) for storage in self._storages]

    def resize(self, max_seq_len: int, dtype: npt.DTypeLike | None = None) -> None:
        """Make room for another number of positions, or convert to another dtype; what the cache holds stays.

        Raises CacheError for fewer positions than it holds.
        """
        check_int("resize", "max_seq_len", max_seq_len, 1)
        if max_seq_len < self.seq_pos:
            raise CacheError(f"resize: to {max_seq_len} positions, the cache holds {self.seq_pos}; truncate() it first")
        self.max_seq_len, self.dtype = max_seq_len, self.dtype if dtype is None else np.dtype(dtype)
        self._storages = [storage.copy(self.seq_pos, max_seq_len, dtype=self.dtype) for storage in self._storages]
        self._written = [min(written, self.seq_pos) for written in self._written]
