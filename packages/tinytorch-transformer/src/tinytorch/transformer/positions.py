"""Positions that are added to the embeddings: learned, or made of sines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch.attention import as_positions
from tinytorch.layers import Module, Parameter, init, lowers
from tinytorch.layers import functional as F
from tinytorch.layers.checks import extremes, positive
from tinytorch.tensor import Array, Tensor, add, zeros

from .config import DType, Generator, TransformerConfig


class PositionalEncoding(Module):
    """Adds to x (B, T, embed_dim) a vector for each position: sines of different lengths, or learned ones.

    Learned positions end at `max_seq_len` (ValueError beyond it); sines go on.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.5.

    >>> PositionalEncoding(max_seq_len=8, embed_dim=4)(zeros(1, 2, 4))[0, 0]
    Tensor([0., 1., 0., 1.])
    """

    def __init__(
        self, max_seq_len: int, embed_dim: int, learned: bool = False, *,
        dtype: DType = None, generator: Generator = None,
    ) -> None:  # fmt: skip
        positive("PositionalEncoding", max_seq_len=max_seq_len, embed_dim=embed_dim)
        self.max_seq_len = max_seq_len
        self.embed_dim = embed_dim
        self.weight: Parameter | None = None
        self._sines: dict[np.dtype[Any], Array] = {}
        if learned:
            self.weight = Parameter(zeros(max_seq_len, embed_dim, dtype=dtype))
            init.normal(self.weight, std=0.02, generator=generator)

    def forward(self, x: Tensor, positions: Any = None) -> Tensor:
        """x (B, T, D) at `positions`, (T,) or (B, T) integers, 0 to T - 1 unless given: (B, T, D)."""
        index = self._index(x, positions)
        if self.weight is None:
            return x + Tensor(self._sines[x.dtype][index], x.dtype)  # (B, T, D) + (T, D), or + (B, T, D)
        return x + (self.weight[index] if positions is None else F.embedding(self.weight, index))

    @lowers("forward", "_index")
    def lower(self) -> Callable[..., Array]:
        plus = add.lower()

        def forward(x: Array, positions: Any = None) -> Array:
            index = self._index(x, positions)
            return plus(x, (self._sines[x.dtype] if self.weight is None else self.weight.data)[index])

        return forward

    def _index(self, x: Any, positions: Any) -> Any:
        """The rows of the table that are added to x. Afterwards a table of sines has them."""
        length = x.shape[-2]
        index = None if positions is None else as_positions("PositionalEncoding", positions, length)
        end = length if index is None else extremes(index)[1] + 1
        if self.weight is None:
            if len(self._sines.get(x.dtype, ())) < end:
                self._sines[x.dtype] = sinusoids(max(2 * end, self.max_seq_len), self.embed_dim).astype(x.dtype)
        elif end > self.max_seq_len:
            raise ValueError(
                f"PositionalEncoding: position {end - 1}, and positions up to {self.max_seq_len - 1} are learned; "
                "give fewer tokens, or a larger max_seq_len"
            )
        return slice(length) if index is None else index

    def extra_repr(self) -> str:
        return f"{self.max_seq_len}, {self.embed_dim}" + (", learned=True" if self.weight is not None else "")


def make_positional(config: TransformerConfig, **drawn: Any) -> PositionalEncoding | None:
    """The positions that are added to embeddings, where `config` has such."""
    if config.positions not in ("learned", "sinusoidal"):
        return None
    return PositionalEncoding(config.max_seq_len, config.embed_dim, config.positions == "learned", **drawn)


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
