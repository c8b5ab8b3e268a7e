"""Positions that are added to the embeddings: learned, or made of sines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.attention import as_positions
from tinytorch.layers import Module, Parameter, init
from tinytorch.layers import functional as F
from tinytorch.tensor import Array, Tensor, zeros


class PositionalEncoding(Module):
    """Adds to x (B, T, embed_dim) a vector for each position: sines of different lengths, or learned ones.

    Learned positions end at `max_seq_len` (ValueError beyond it); sines go on.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.5.

    >>> PositionalEncoding(max_seq_len=8, embed_dim=4)(zeros(1, 2, 4))[0, 0]
    Tensor([0., 1., 0., 1.])
    """

    def __init__(
        self,
        max_seq_len: int,
        embed_dim: int,
        learned: bool = False,
        *,
        dtype: npt.DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        if max_seq_len < 1 or embed_dim < 1:
            raise ValueError(f"PositionalEncoding: {max_seq_len} positions of {embed_dim} numbers; both must be from 1")
        self.max_seq_len = max_seq_len
        self.embed_dim = embed_dim
        self.weight: Parameter | None = None
        self._table = np.empty((0, embed_dim))
        if learned:
            self.weight = Parameter(zeros(max_seq_len, embed_dim, dtype=dtype))
            init.normal(self.weight, std=0.02, generator=generator)

    def forward(self, x: Tensor, positions: Any = None) -> Tensor:
        """x at `positions`, (T,) or (B, T) integers, counted from 0 unless given."""
        length = x.shape[-2]
        where = None if positions is None else as_positions("PositionalEncoding", positions, length)
        last = length if where is None else int(where.max(initial=-1)) + 1
        if self.weight is None:
            table = self._sines(last, x.dtype)
            return x + Tensor(table[:length] if where is None else table[where], x.dtype)
        if last > self.max_seq_len:
            raise ValueError(
                f"PositionalEncoding: position {last - 1}, and positions up to {self.max_seq_len - 1} are learned; "
                "give fewer tokens, or a larger max_seq_len"
            )
        return x + (self.weight[:length] if where is None else F.embedding(self.weight, where))

    def _sines(self, length: int, dtype: np.dtype[Any]) -> Array:
        if len(self._table) < length or self._table.dtype != dtype:
            self._table = sinusoids(max(length, self.max_seq_len, 2 * len(self._table)), self.embed_dim).astype(dtype)
        return self._table

    def extra_repr(self) -> str:
        return f"{self.max_seq_len}, {self.embed_dim}" + (", learned=True" if self.weight is not None else "")


def sinusoids(length: int, width: int) -> Array:
    """sin(p / 10000 ** (2 i / width)) in column 2 i and the cosine in column 2 i + 1, for p below `length`: float64.

    >>> sinusoids(2, 2).round(4)
    array([[0.    , 1.    ],
           [0.8415, 0.5403]])
    """
    angles = np.outer(np.arange(length), 10000.0 ** (-np.arange(0, width, 2) / width))
    table = np.empty((length, width))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : width // 2])
    return table
