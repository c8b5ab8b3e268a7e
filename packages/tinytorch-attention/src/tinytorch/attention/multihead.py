"""Multi-head attention in public steps: project, attend, merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.layers import Linear, Module, lower, lowers
from tinytorch.layers import functional as F
from tinytorch.layers.checks import probability
from tinytorch.tensor import Array, ShapeError, Tensor, check_int

from .fused import attention
from .heads import merge_heads, split_heads
from .readable import repeat_heads, scaled_dot_product_attention
from .rotary import RotaryEmbedding

Core = Callable[[Tensor, Tensor, Tensor, Any, bool], Tensor]
"""The function that attends: (q, k, v, mask, causal) -> (B, H, T, D), as `attention` does."""


class MultiHeadAttention(Module):
    """Attention with several heads, each with its own projections: (B, T, embed_dim) -> (B, T, embed_dim).

    Keys and values have `num_kv_heads` heads, each shared by `num_heads / num_kv_heads` heads of queries; as many as
    queries unless given. `head_dim` is embed_dim / num_heads unless given. With `causal` a position sees itself and
    those before it. `rotary` rotates queries and keys by their positions. `dropout` drops weights while training.

    The steps are public: `forward(x)` is `merge(attend(*project(x)))`. `core` is the function that attends; another
    one of the same form may be put there. To be lowered it must be a primitive or have a method `lower`.

    Raises ValueError for sizes that do not fit.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.2.2.

    >>> MultiHeadAttention(embed_dim=8, num_heads=2)(Tensor([[[0.5] * 8] * 3])).shape
    (1, 3, 8)
    """

    def __init__(
        self, embed_dim: int, num_heads: int, num_kv_heads: int | None = None, bias: bool = True, dropout: float = 0.0,
        causal: bool = False, rotary: RotaryEmbedding | None = None, head_dim: int | None = None, *,
        dtype: npt.DTypeLike | None = None, generator: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        check_heads(embed_dim, num_heads, num_kv_heads, head_dim)
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = embed_dim // num_heads if head_dim is None else head_dim
        if rotary is not None and rotary.head_dim != self.head_dim:
            raise ValueError(f"MultiHeadAttention: rotary is for {rotary.head_dim} numbers, heads have {self.head_dim}")
        self.causal = causal
        self.dropout = probability("MultiHeadAttention", dropout)
        self.generator = generator
        self.rotary = rotary
        queries, keys = num_heads * self.head_dim, num_kv_heads * self.head_dim
        drawn: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.q_proj = Linear(embed_dim, queries, bias, **drawn)
        self.k_proj = Linear(embed_dim, keys, bias, **drawn)
        self.v_proj = Linear(embed_dim, keys, bias, **drawn)
        self.out_proj = Linear(queries, embed_dim, bias, **drawn)
        self.core: Core = attention

    def project(
        self, x: Tensor, positions: Any = None, kv_input: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, Dh), keys and values (B, Hkv, S, Dh), rotated by their positions if there is a `rotary`.

        Keys and values come from `kv_input` (B, S, embed_dim), or from `x` (B, T, embed_dim) when it is not given.
        `positions` are (T,) or (B, T) integers, 0 to T - 1 unless given.
        """
        self._check_input(x, kv_input)
        source = x if kv_input is None else kv_input  # (B, S, D), or (B, T, D) and S is T
        q = split_heads(self.q_proj(x), num_heads=self.num_heads)  # (B, T, D) -> (B, T, H Dh) -> (B, H, T, Dh)
        k = split_heads(self.k_proj(source), num_heads=self.num_kv_heads)  # (B, S, D) -> (B, Hkv, S, Dh)
        v = split_heads(self.v_proj(source), num_heads=self.num_kv_heads)  # (B, S, D) -> (B, Hkv, S, Dh)
        if self.rotary is None:
            return q, k, v
        return self.rotary(q, positions), self.rotary(k, positions), v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Any = None) -> Tensor:
        """The values that each query attends to, averaged: (B, H, T, Dh). `mask` broadcasts to (B, H, T, S)."""
        if self.training and self.dropout:
            _, weights = scaled_dot_product_attention(q, k, v, mask, self.causal)  # (B, H, T, S)
            weights = F.dropout(weights, self.dropout, True, self.generator)
            return weights @ repeat_heads(v, q)  # (B, H, T, S) @ (B, H, S, Dh) -> (B, H, T, Dh)
        return self.core(q, k, v, mask, self.causal)

    def merge(self, heads: Tensor) -> Tensor:
        """Heads joined and projected: (B, H, T, Dh) -> (B, T, embed_dim)."""
        return self.out_proj(merge_heads(heads))  # (B, H, T, Dh) -> (B, T, H Dh) -> (B, T, D)

    def forward(self, x: Tensor, mask: Any = None, positions: Any = None, kv_input: Tensor | None = None) -> Tensor:
        """x (B, T, embed_dim) -> (B, T, embed_dim); true in `mask` (B, H, T, S) is where a query may attend."""
        q, k, v = self.project(x, positions, kv_input)  # (B, T, D) -> (B, H, T, Dh), 2 x (B, Hkv, S, Dh)
        heads = self.attend(q, k, v, mask)  # (B, H, T, Dh)
        return self.merge(heads)  # (B, T, D)

    @lowers("forward", "project", "attend", "merge", "_check_input")
    def lower(self) -> Callable[..., Array] | None:
        parts = (self.q_proj, self.k_proj, self.v_proj, self.out_proj, self.core, *filter(None, [self.rotary]))
        functions: list[Any] = [lower(part) for part in parts]
        if None in functions or (self.training and self.dropout):
            return None
        q_proj, k_proj, v_proj, out_proj, core, *rotary = functions
        H, Hkv, Dh, causal = self.num_heads, self.num_kv_heads, self.head_dim, self.causal

        def split(x: Array, B: int, T: int, heads: int) -> Array:
            if T == 1:  # the same memory, and one step fewer for a token that is generated
                return x.reshape(B, heads, 1, Dh)
            return x.reshape(B, T, heads, Dh).transpose(0, 2, 1, 3)  # (B T, H Dh) -> (B, H, T, Dh)

        def forward(x: Array, mask: Any = None, positions: Any = None, kv_input: Array | None = None) -> Array:
            self._check_input(x, kv_input)
            B, T, D = x.shape
            S = T if kv_input is None else kv_input.shape[1]
            rows = x.reshape(B * T, D)  # once for all products
            source = rows if kv_input is None else kv_input.reshape(B * S, D)
            q, k, v = split(q_proj(rows), B, T, H), split(k_proj(source), B, S, Hkv), split(v_proj(source), B, S, Hkv)
            for rotate in rotary:  # one or none
                q, k = rotate(q, positions), rotate(k, positions)
            heads = core(q, k, v, mask, causal)  # (B, H, T, Dh)
            if mask is not None and mask.dtype.kind == "f":  # as in dispatch, tensors decide and not arrays
                heads = heads.astype(np.result_type(q, k, v), copy=False)
            merged = heads if T == 1 else heads.transpose(0, 2, 1, 3)  # (B, T, H, Dh)
            return out_proj(merged.reshape(B * T, H * Dh)).reshape(B, T, D)

        return forward

    def _check_input(self, x: Any, kv_input: Any) -> None:
        if x.ndim != 3 or x.shape[-1] != self.embed_dim:
            raise ShapeError(f"MultiHeadAttention: x is {x.shape}; the form is (B, T, {self.embed_dim})")
        if kv_input is not None and self.rotary is not None:
            raise ValueError(
                "MultiHeadAttention: rotary positions and kv_input; two sequences have no common positions"
            )

    def weights(self, x: Tensor, mask: Any = None, positions: Any = None, kv_input: Tensor | None = None) -> Tensor:
        """How much each query attends to each key: (B, H, T, S), rows that sum to 1. For plots and probes."""
        q, k, v = self.project(x, positions, kv_input)
        return scaled_dot_product_attention(q, k, v, mask, self.causal)[1]

    def extra_repr(self) -> str:
        usual = {"num_kv_heads": self.num_heads, "head_dim": self.embed_dim / self.num_heads, "causal": 0, "dropout": 0}
        others = [f", {name}={getattr(self, name)}" for name in usual if getattr(self, name) != usual[name]]
        return f"{self.embed_dim}, num_heads={self.num_heads}" + "".join(others)


def check_heads(embed_dim: int, num_heads: int, num_kv_heads: int, head_dim: int | None) -> None:
    """Raise ValueError or TypeError when vectors of `embed_dim` numbers cannot be cut into these heads."""
    sizes = {"embed_dim": embed_dim, "num_heads": num_heads, "num_kv_heads": num_kv_heads, "head_dim": head_dim}
    for name, size in sizes.items():
        if (name, size) != ("head_dim", None):
            check_int("MultiHeadAttention", name, size, minimum=1)
    if head_dim is None and embed_dim % num_heads:
        raise ValueError(
            f"MultiHeadAttention: embed_dim {embed_dim} is not a multiple of num_heads {num_heads}; "
            "choose sizes that divide, or give head_dim"
        )
    if num_heads % num_kv_heads:
        raise ValueError(
            f"MultiHeadAttention: num_heads {num_heads} is not a multiple of num_kv_heads {num_kv_heads}; "
            "each head of keys serves as many heads of queries"
        )
