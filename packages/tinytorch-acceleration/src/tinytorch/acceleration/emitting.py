"""What the modules of a transformer are as operations of a program, for rows of one token each.

`emits(Kind)` registers how a kind of module is written; later stages add theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tinytorch.layers import Embedding, LayerNorm, Linear, Module, RMSNorm
from tinytorch.tensor import Array, Tensor
from tinytorch.transformer import FeedForward

from . import operations
from .operations import GELU, RELU, SILU
from .programs import Program

F = TypeVar("F", bound=Callable[..., Any])

BLOCK = 1 << 16
"""About how many weights a core takes at once: some 10 microseconds of reading."""

ACTIVATIONS = {"gelu": GELU, "silu": SILU, "swiglu": SILU, "relu": RELU}

emitters: dict[tuple[type[Module], str], Callable[..., None]] = {}
"""How the method of a kind of module is written, by both."""


class UnknownPart(Exception):
    """A module, or an option of it, that no program has operations for."""


def emits(kind: type[Module], method: str = "forward") -> Callable[[F], F]:
    """Register `write(writer, module, x, out, **options)`, which appends the operations that compute `out` from `x`."""

    def register(write: F) -> F:
        emitters[kind, method] = write
        return write

    return register


class Writer(Program):
    """A program that is being written, for so many `rows`, and the weights that it reads."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.weights: list[tuple[Tensor, Array]] = []

    def write(self, module: Module, x: Array, out: Array, method: str = "forward", **options: Any) -> None:
        """Append what `module` computes. Raises UnknownPart."""
        emit = emitters.get((type(module), method))
        if emit is None:
            raise UnknownPart(type(module).__name__)
        emit(self, module, x, out, **options)

    def weight(self, tensor: Tensor | None, *dtypes: Any) -> Array | None:
        """The memory of a weight of one of these dtypes, float32 unless given; None for None."""
        if tensor is None:
            return None
        array = tensor.data
        if array.dtype not in (dtypes or (np.float32,)) or not array.flags.c_contiguous:
            raise UnknownPart(f"weights of {array.dtype}" if array.flags.c_contiguous else "weights with strides")
        self.weights.append((tensor, array))
        return array

    def empty(self, width: int) -> Array:
        """Room for a number of `width` in each row."""
        return np.empty((self.rows, width), np.float32)

    def columns(self, m: int, n: int) -> int:
        """How many of m columns of n weights each are a block: a multiple of 16."""
        parts = max(1, min(16, m * n // BLOCK))
        return max(16, -(-m // parts // 16) * 16)

    @property
    def holds(self) -> bool:
        """Whether all weights are still where they were."""
        return all(tensor.data is array for tensor, array in self.weights)


@emits(Linear)
def write_linear(writer: Writer, layer: Linear, x: Array, out: Array, add: bool = False, activation: int = 0) -> None:
    weight, bias = writer.weight(layer.weight), writer.weight(layer.bias)
    n, m = layer.in_features, layer.out_features
    writer.add(
        operations.columns, m, writer.columns(m, n), x, weight, bias, out, writer.rows, n, m, add, activation
    )  # fmt: skip


@emits(LayerNorm)
@emits(RMSNorm)
def write_norm(writer: Writer, norm: LayerNorm | RMSNorm, x: Array, out: Array) -> None:
    if not isinstance(norm.features, int):
        raise UnknownPart("a norm over several axes")
    centered = isinstance(norm, LayerNorm)
    weight, bias = writer.weight(norm.weight), writer.weight(norm.bias if isinstance(norm, LayerNorm) else None)
    writer.add(
        operations.normalize, writer.rows, 1, x, weight, bias, out, norm.features, float(norm.eps), centered
    )  # fmt: skip


@emits(FeedForward)
def write_feed_forward(writer: Writer, part: FeedForward, x: Array, out: Array, add: bool = False) -> None:
    f = ACTIVATIONS.get(part.activation)
    if f is None:
        raise UnknownPart(f"activation {part.activation}")
    hidden = writer.empty(part.up.out_features)
    if part.gate is None:
        writer.write(part.up, x, hidden, activation=f)
    else:
        up = writer.empty(part.up.out_features)
        writer.write(part.gate, x, hidden, activation=f)
        writer.write(part.up, x, up)
        writer.add(operations.multiply, hidden.size, max(16, hidden.size), hidden, up)
    writer.write(part.down, hidden, out, add=add)


@emits(Embedding, "unembed")
def write_unembed(writer: Writer, table: Embedding, x: Array, out: Array) -> None:
    n, m = table.embedding_dim, table.num_embeddings
    weight = writer.weight(table.weight)
    writer.add(operations.rows, m, writer.columns(m, n), x, weight, None, out, writer.rows, n, m)
