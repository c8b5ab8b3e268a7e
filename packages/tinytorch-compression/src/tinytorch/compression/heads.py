"""Heads of attention that can be taken out, alone or with all that share their keys and values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinytorch.attention import MultiHeadAttention
from tinytorch.layers import Module
from tinytorch.tensor import Array

from .chains import is_plain, wide
from .narrowing import keep_inputs, keep_outputs, spread


class Heads:
    """The heads of one attention: `groups` of them share keys and values, `per_group` each.

    With `whole` a group goes with its keys and values, so that the cache is smaller too. Else every group loses equally
    many heads of queries, because attention has as many for each.
    """

    def __init__(self, name: str, attention: MultiHeadAttention, whole: bool) -> None:
        self.name, self.attention = name, attention
        self.groups = attention.num_kv_heads
        self.per_group = attention.num_heads // attention.num_kv_heads
        self.whole = whole or self.per_group == 1

    @property
    def size(self) -> int:
        """How many can be chosen from: groups, or heads in each group."""
        return self.groups if self.whole else self.per_group

    def importance(self) -> Array:
        """|V O| of each head, the matrix from what it attends to into the output: (groups,) or (groups, per group)."""
        Dh, G, g = self.attention.head_dim, self.groups, self.per_group
        v = wide(self.attention.v_proj).reshape(-1, G, Dh).transpose(1, 0, 2)  # (G, D, Dh)
        o = wide(self.attention.out_proj).reshape(G, g, Dh, -1)  # (G, g, Dh, D)
        inner = (v.transpose(0, 2, 1) @ v)[:, None]  # (G, 1, Dh, Dh)
        squares = np.maximum(np.sum(inner * (o @ o.transpose(0, 1, 3, 2)), axis=(2, 3)), 0)  # |V O|² of each, (G, g)
        sizes: Array = np.sqrt(squares.sum(axis=1)) if self.whole else np.sqrt(squares)
        return sizes

    def keep(self, kept: Array) -> None:
        """Take all others out: `kept` are groups (n,), or heads of queries in each group (groups, n)."""
        attention, Dh = self.attention, self.attention.head_dim
        if self.whole:
            for projection in (attention.k_proj, attention.v_proj):
                keep_outputs(projection, spread(kept, Dh))
            heads = spread(kept, self.per_group)
            attention.num_kv_heads = len(kept)
        else:
            heads = (np.arange(self.groups)[:, None] * self.per_group + kept).reshape(-1)
        keep_outputs(attention.q_proj, spread(heads, Dh))
        keep_inputs(attention.out_proj, spread(heads, Dh))
        attention.num_heads = len(heads)


def find_heads(model: Module, whole: bool) -> Iterator[Heads]:
    """The heads of every attention whose layers are as they were made."""
    for name, module in model.named_modules():
        if isinstance(module, MultiHeadAttention) and all(map(is_plain, projections_of(module))):
            yield Heads(name, module, whole)


def projections_of(attention: MultiHeadAttention) -> list[Module]:
    return [attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj]
