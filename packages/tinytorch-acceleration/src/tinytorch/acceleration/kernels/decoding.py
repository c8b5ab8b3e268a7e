"""A GPT's next token as one program: all layers for one new token of each sequence, with its cache.

`enable_acceleration()` installs it for lowered models. What it does not know runs as it did: other caches than those
that lend their memory, masks, float64, parts of other kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from threading import Lock
from typing import Any

import numpy as np

from tinytorch.attention import MultiHeadAttention, attention
from tinytorch.kvcache import Cache
from tinytorch.kvcache.core import CachedCore, current_step
from tinytorch.kvcache.storage import Storage
from tinytorch.layers import lower
from tinytorch.tensor import Array
from tinytorch.transformer import GPT, TransformerBlock

from .. import operations
from ..emitting import BLOCK, UnknownPart, Writer, emits
from ..programs import ARGUMENTS, BLOCKS, crew
from ..programs import BLOCK as BLOCK_SIZE
from ..serving import Served, Unserved, serves_module, table

KEYS, VALUES, ROOM, CAPACITY, POSITION = (ARGUMENTS + i for i in (4, 5, 6, 9, 10))  # columns of `operations.attend`
MOST_ROWS = 8
"""Sequences at once; more are a matrix product, for which the matrix library is better."""
TOKENS = table.setdefault("GPT token", Served("GPT token"))


class Step(Writer):
    """The operations of one token, and where its numbers are in memory."""

    def __init__(self, model: GPT, rows: int) -> None:
        super().__init__(rows)
        self.attends: list[int] = []  # the lines that read the cache, by layer
        self.rotary = model.blocks[0].attention.rotary
        if self.rotary is not None:
            self.turns = [np.empty(self.rotary.head_dim // 2, np.float32) for _ in range(2)]  # cos, sin
        self.x = x = self.empty(model.embed_dim)
        for block in model.blocks:
            if block.attention.rotary is not self.rotary:
                raise UnknownPart("different rotary positions")
            self.write(block, x, x)
        if model.norm is not None:
            self.write(model.norm, x, x)
        self.logits = self.empty(model.vocab_size)
        if model.head is None:
            self.write(model.token_embedding, x, self.logits, "unembed")
        else:
            self.write(model.head, x, self.logits)
        self.operations = self.table()
        self.buffers: list[Array] = []

    def run(self, x: Array, storages: list[Storage], position: int) -> Array:
        """Logits (rows, 1, vocab) of embeddings (rows, 1, D) at a position, whose keys and values are written."""
        self.connect([buffer for storage in storages for buffer in (storage.keys, storage.values)])
        self.operations[self.attends, POSITION] = position
        if self.rotary is not None:
            for room, table in zip(self.turns, self.rotary.tables(1, np.array([position]), x.dtype), strict=True):
                room[:] = table[0]
        self.x[:] = x[:, 0]
        crew.run(self.operations)
        return self.logits[:, None].copy()  # (rows, vocab) -> (rows, 1, vocab), which the next token does not overwrite

    def connect(self, buffers: list[Array]) -> None:
        """Let the attentions use the memory of a cache: keys and values of each layer."""
        if len(buffers) == len(self.buffers) and all(map(is_, buffers, self.buffers)):
            return
        B, heads, capacity, D = buffers[1].shape
        self.room = np.empty((B * heads, capacity), np.float32)
        block = max(1, BLOCK // (D * capacity))  # heads
        for line, keys, values in zip(self.attends, buffers[::2], buffers[1::2], strict=True):
            row = self.operations[line]
            row[KEYS], row[VALUES], row[ROOM] = keys.ctypes.data, values.ctypes.data, self.room.ctypes.data
            row[CAPACITY], row[BLOCK_SIZE], row[BLOCKS] = capacity, block, -(-(B * heads) // block)
        self.buffers = buffers


@emits(TransformerBlock)
def write_block(writer: Step, block: TransformerBlock, x: Array, out: Array) -> None:
    if block.norm_first:
        y = writer.empty(x.shape[1])
        writer.write(block.norm1, x, y)
        writer.write(block.attention, y, x, add=True)
        writer.write(block.norm2, x, y)
        writer.write(block.feed_forward, y, x, add=True)
    else:
        writer.write(block.attention, x, x, add=True)
        writer.write(block.norm1, x, x)
        writer.write(block.feed_forward, x, x, add=True)
        writer.write(block.norm2, x, x)


@emits(MultiHeadAttention)
def write_attention(writer: Step, part: MultiHeadAttention, x: Array, out: Array, add: bool = False) -> None:
    core = part.core
    if not isinstance(core, CachedCore) or core.original is not attention or not part.causal:
        raise UnknownPart("an attention of its own")
    H, groups, D = part.num_heads, part.num_kv_heads, part.head_dim
    q, k, v, heads = (writer.empty(n * D) for n in (H, groups, groups, H))
    for projection, made in ((part.q_proj, q), (part.k_proj, k), (part.v_proj, v)):
        writer.write(projection, x, made)
    if part.rotary is not None:
        for made in (q, k):
            writer.add(operations.turn, made.size // D, made.size, made, *writer.turns, D)
    line = writer.add(
        operations.attend, writer.rows * groups, groups, q, k, v, heads, None, None, None,
        H // groups, D, 0, 0, 1 / D**0.5,
    )  # fmt: skip
    writer.attends.append(line)
    writer.write(part.out_proj, heads, out, add=add)


class Decoder:
    """What a GPT computes on arrays: by a program for a single token with a cache, else by the function it had."""

    def __init__(self, model: GPT, usual: Callable[..., Array]) -> None:
        self.model, self.usual = model, usual
        embed, positional = lower(model.token_embedding), model.positional
        self.embed: Any = embed
        self.positional: Any = (lambda x, positions: x) if positional is None else lower(positional)
        self.steps = {1: Step(model, 1)}  # by the number of rows
        self.cores: list[Any] = [block.attention.core for block in model.blocks]
        self.busy = Lock()

    def __call__(self, tokens: Any, mask: Any = None, positions: Any = None, last_only: bool = False) -> Array:
        out: Array = TOKENS.note(self.token(tokens, mask, positions))
        return self.usual(tokens, mask, positions, last_only) if out is NotImplemented else out

    def token(self, tokens: Any, mask: Any, positions: Any) -> Array | Unserved:
        """Logits (B, 1, V) that follow one token of each sequence, the next in a cache."""
        taken = current_step.get()
        if taken is None or tokens.shape[1:] != (1,):
            return Unserved("several tokens")
        if mask is not None or positions is None:
            return Unserved("padding")
        if not self.knows(taken.owner, taken.cache, positions) or len(tokens) > MOST_ROWS:
            return Unserved("a cache of another kind, or many sequences")
        if not self.busy.acquire(blocking=False):
            return Unserved("two threads at once")
        try:
            x = self.positional(self.embed(tokens), positions)  # (B, 1) -> (B, 1, D)
            step = self.step(len(tokens))
            storages = None if x.dtype != np.float32 or step is None else taken.cache.reserve(1)
            if step is None or storages is None:
                return Unserved("weights or a cache of another kind")
            taken.attended += len(self.cores)
            return step.run(x, storages, taken.cache.seq_pos)
        finally:
            self.busy.release()

    def knows(self, owner: object, cache: Cache, positions: Array) -> bool:
        """Whether this is the next position of a float32 cache, whose layers are those of the model."""
        return (
            cache.dtype == np.float32
            and positions.shape == (1,)
            and positions[0] == cache.seq_pos
            and [core.layers.get(owner) for core in self.cores] == list(range(cache.num_layers))
        )

    def step(self, rows: int) -> Step | None:
        """The program for so many rows, written again when a weight has another place; None where that is unknown."""
        found = self.steps.get(rows)
        if found is None or not found.holds:
            try:
                self.steps[rows] = found = Step(self.model, rows)
            except UnknownPart:
                return None
        return found


@serves_module(GPT)
def decoder(model: GPT, usual: Callable[..., Array]) -> Decoder | Unserved:
    """The function of a lowered model."""
    try:
        return Decoder(model, usual)
    except UnknownPart as error:
        return Unserved(str(error))
