"""`PagedCache`: memory in blocks, and equal beginnings kept once."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Array, default_dtype

from .cache import Cache, StepLock, as_ids
from .errors import CacheFullError
from .storage import check_entries


class BlockPool:
    """Blocks of `block_size` positions, for all layers, counted by how many sequences use them.

    A full block whose tokens are known is found again by them (`find`), also after its last user released it, until the
    pool has no other block left to give. It is found for the weights that filled it only, so models may share a pool.

    >>> pool = BlockPool(num_blocks=4, block_size=16, num_layers=2, num_heads=2, head_dim=8)
    >>> block = pool.take()
    >>> pool.free, pool.uses[block]
    (3, 1)
    """

    def __init__(
        self, num_blocks: int, block_size: int, num_layers: int, num_heads: int, head_dim: int,
        dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.dtype = np.dtype(default_dtype() if dtype is None else dtype)
        self.keys = [np.empty((num_blocks, num_heads, head_dim, block_size), self.dtype) for _ in range(num_layers)]
        self.values = [np.empty((num_blocks, num_heads, block_size, head_dim), self.dtype) for _ in range(num_layers)]
        self.uses = [0] * num_blocks
        self.lock = StepLock()
        self._free = OrderedDict.fromkeys(range(num_blocks))  # the longest unused first
        self._by_name: dict[tuple[str | None, bytes], int] = {}
        self._name_of: dict[int, tuple[str | None, bytes]] = {}

    @property
    def free(self) -> int:
        """How many blocks are not in use."""
        return len(self._free)

    def take(self) -> int:
        """A block for one user. Raises CacheFullError when all are in use."""
        if not self._free:
            raise CacheFullError(
                f"take: all {self.num_blocks} blocks are in use; reset() a cache, or make a larger pool"
            )
        block, _ = self._free.popitem(last=False)
        self.unname(block)
        self.uses[block] = 1
        return block

    def share(self, block: int) -> int:
        """The same block for one more user."""
        if self.uses[block] == 0:
            del self._free[block]
        self.uses[block] += 1
        return block

    def release(self, block: int) -> None:
        """One user less."""
        self.uses[block] -= 1
        if self.uses[block] == 0:
            self._free[block] = None

    def duplicate(self, block: int) -> int:
        """A block with the same content for one of the users of a shared one, which may then write into it."""
        twin = self.take()
        for buffer in (*self.keys, *self.values):
            buffer[twin] = buffer[block]
        self.release(block)
        return twin

    def find(self, tokens: Array, fingerprint: str | None = None) -> int | None:
        """The block with the last positions of a sequence that begins with exactly these tokens (n,).

        `fingerprint` identifies the weights that the block must have been filled with.
        """
        return self._by_name.get((fingerprint, as_ids("find", tokens).tobytes()))

    def name(self, block: int, tokens: Array, fingerprint: str | None = None) -> None:
        """Let `find` find the block, unless it finds an equal one already."""
        self.unname(block)
        name = fingerprint, as_ids("name", tokens).tobytes()
        if name not in self._by_name:
            self._by_name[name] = block
            self._name_of[block] = name

    def unname(self, block: int) -> None:
        """Let `find` no longer find the block, because its content is about to change."""
        if block in self._name_of:
            del self._by_name[self._name_of.pop(block)]


class PagedCache(Cache):
    """A cache whose sequences are lists of blocks of a pool that many caches may use.

    Sequences share the blocks of equal beginnings, whether `copy` and `reorder` made them or `resume` found them in the
    pool. A shared block is duplicated before one of its users writes into it. Reading gathers the blocks, which copies
    them. `nbytes` is the memory of the whole pool.

    Source: Kwon et al. 2023, Efficient Memory Management for Large Language Model Serving with PagedAttention
    (arXiv:2309.06180), section 4.

    >>> pool = BlockPool(num_blocks=8, block_size=2, num_layers=1, num_heads=2, head_dim=4)
    >>> cache = PagedCache(pool)
    >>> cache.update(0, np.ones((1, 2, 5, 4), np.float32), np.ones((1, 2, 5, 4), np.float32))
    >>> cache.advance(5)
    >>> twin = cache.copy()
    >>> pool.num_blocks - pool.free
    3
    >>> twin.update(0, np.ones((1, 2, 1, 4), np.float32), np.ones((1, 2, 1, 4), np.float32))
    >>> pool.num_blocks - pool.free  # the third block was half full and shared: the twin wrote into its own
    4
    """

    layout: ClassVar[tuple[str, ...]] = (*Cache.layout, "num_blocks", "block_size")

    def __init__(self, pool: BlockPool, batch_size: int = 1, max_seq_len: int | None = None) -> None:
        self.pool = pool
        self.num_blocks = pool.num_blocks
        self.block_size = pool.block_size
        super().__init__(batch_size, pool.num_layers, pool.num_heads, pool.head_dim, max_seq_len, pool.dtype)
        self.lock = pool.lock

    @classmethod
    def _from_layout(cls, layout: dict[str, Any]) -> Self:
        rows = {name: layout.pop(name) for name in ("batch_size", "max_seq_len")}
        return cls(BlockPool(**layout), **rows)

    def buffers(self) -> list[Array]:
        return [*self.pool.keys, *self.pool.values]

    def copy(self) -> Self:
        """A cache of its own with the same content, in the same blocks until one of the two writes."""
        twin = copy.copy(self)
        twin._tokens, twin._written = self.tokens.copy(), [min(written, self.seq_pos) for written in self._written]
        twin._tables = self._shared(range(self.batch_size))
        return twin

    def resume(self, tokens: npt.ArrayLike) -> int:
        tokens = as_ids("resume", tokens)
        n, size = super().resume(tokens), self.block_size
        if (tokens < 0).any():
            return n
        found: list[list[Any]] = []  # blocks of each sequence, one list for each block further on
        for end in range(n - n % size + size, tokens.shape[1] + 1, size):
            blocks = [self.pool.find(row[:end], self.fingerprint) for row in tokens]
            if None in blocks:
                break
            found.append(blocks)
        if found:
            self.truncate(n - n % size)
            for blocks_of_rows in found:
                for table, block in zip(self._tables, blocks_of_rows, strict=True):
                    table.append(self.pool.share(block))
            self._written = [self.seq_pos + size * len(found)] * self.num_layers
            self.advance(size * len(found), tokens[:, self.seq_pos : self._written[0]])
        return self.seq_pos

    def _allocate(self) -> None:
        self._tables: list[list[int]] = [[] for _ in range(self.batch_size)]
        self._named = 0  # how many blocks of each sequence have a name in the pool

    def _write(self, layer: int, start: int, keys: Array, values: Array) -> None:
        size, end = self.block_size, start + keys.shape[2]
        self._own(start, end)
        for i in range(start // size, -(-end // size)):
            low, high = max(start, i * size), min(end, (i + 1) * size)
            blocks = [table[i] for table in self._tables]
            here, there = slice(low - i * size, high - i * size), slice(low - start, high - start)
            self.pool.keys[layer][blocks, :, :, here] = keys[:, :, there].swapaxes(-1, -2)
            self.pool.values[layer][blocks, :, here] = values[:, :, there]

    def _own(self, start: int, end: int) -> None:
        """Let the positions from start to end lie in blocks that are neither shared nor found."""
        first, last = start // self.block_size, -(-end // self.block_size)
        try:
            for table in self._tables:
                for i in range(first, min(last, len(table))):
                    if self.pool.uses[table[i]] > 1:
                        table[i] = self.pool.duplicate(table[i])
                    self.pool.unname(table[i])
                while len(table) < last:
                    table.append(self.pool.take())
        except CacheFullError:
            self._truncated()
            raise

    def _read(self, layer: int, end: int) -> tuple[Array, Array]:
        count, size = -(-end // self.block_size), self.block_size
        tables = np.array([table[:count] for table in self._tables], dtype=np.intp)  # (B, n)
        shape = self.batch_size, self.num_heads
        keys = self.pool.keys[layer][tables].transpose(0, 2, 3, 1, 4)  # (B, n, H, Dh, size) -> (B, H, Dh, n, size)
        values = self.pool.values[layer][tables].transpose(0, 2, 1, 3, 4)  # (B, n, H, size, Dh) -> (B, H, n, size, Dh)
        return (
            keys.reshape(*shape, self.head_dim, count * size)[..., :end].swapaxes(-1, -2),
            values.reshape(*shape, count * size, self.head_dim)[:, :, :end],
        )

    def _select(self, rows: Array) -> None:
        tables = self._shared(rows)
        self._release(0)
        self._tables = tables

    def _advanced(self) -> None:
        for table, tokens in zip(self._tables, self.tokens, strict=True):
            if (tokens < 0).any():
                continue
            for i in range(self._named, self.seq_pos // self.block_size):
                self.pool.name(table[i], tokens[: (i + 1) * self.block_size], self.fingerprint)
        self._named = self.seq_pos // self.block_size

    def _truncated(self) -> None:
        self._release(-(-self.seq_pos // self.block_size))
        self._named = min(self._named, self.seq_pos // self.block_size)

    def _shared(self, rows: Iterable[int]) -> list[list[int]]:
        count = -(-self.seq_pos // self.block_size)
        return [[self.pool.share(block) for block in self._tables[row][:count]] for row in rows]

    def _release(self, count: int) -> None:
        """Give back all but the first blocks of each sequence, the last first: beginnings are what is found again."""
        for table in self._tables:
            while len(table) > count:
                self.pool.release(table.pop())

    def __del__(self) -> None:
        if hasattr(self, "_tables"):
            self._release(0)

    def _content(self) -> dict[str, Array]:
        content = {}
        for layer in range(self.num_layers):
            content[f"{layer}.keys"], content[f"{layer}.values"] = self.view(layer)
        return content

    def _fill(self, content: dict[str, Array]) -> None:
        wanted = self.batch_size, self.num_heads, self.seq_pos, self.head_dim
        for layer in range(self.num_layers):
            keys, values = content[f"{layer}.keys"], content[f"{layer}.values"]
            check_entries(layer, keys, values, wanted, self.dtype)
            self._write(layer, 0, keys, values)
