"""The block that transformers are stacked of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytorch.attention import MultiHeadAttention, RotaryEmbedding
from tinytorch.layers import LayerNorm, Module, RMSNorm, lower, lowers
from tinytorch.layers import functional as F
from tinytorch.tensor import Array, Tensor, add

from .config import DType, Generator, TransformerConfig, check_config
from .feedforward import FeedForward


class TransformerBlock(Module):
    """Attention and a feed-forward part, each added to what comes in: (B, T, D) -> (B, T, D).

    The norm stands before each part (`norm_first`) or after the addition. With `cross` there is a third part between
    the two, which attends to another sequence. `causal` lets a position see itself and those before it.

    Source: Vaswani et al. 2017, section 3.1; norm first: Radford et al. 2019, section 2.3.

    >>> config = TransformerConfig(vocab_size=10, embed_dim=8, num_layers=1, num_heads=2, max_seq_len=16)
    >>> TransformerBlock(config, causal=True)(Tensor([[[0.5] * 8] * 3])).shape
    (1, 3, 8)
    """

    def __init__(
        self, config: TransformerConfig, causal: bool = False, rotary: RotaryEmbedding | None = None,
        cross: bool = False, *, dtype: DType = None, generator: Generator = None,
    ) -> None:  # fmt: skip
        self.norm_first = check_config("TransformerBlock", config).norm_first
        self.dropout = config.dropout
        self.generator = generator
        self.norm1 = make_norm(config, dtype)
        drawn: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.attention = make_attention(config, causal, rotary, **drawn)
        if cross:
            self.cross_norm = make_norm(config, dtype)
            self.cross_attention = make_attention(config, False, None, **drawn)
        self.norm2 = make_norm(config, dtype)
        self.feed_forward = FeedForward(config.embed_dim, config.hidden_dim, config.activation, config.bias, **drawn)

    def forward(
        self, x: Tensor, mask: Any = None, positions: Any = None, memory: Tensor | None = None, memory_mask: Any = None
    ) -> Tensor:
        """`memory` (B, S, D) is the sequence that a block with `cross` attends to; masks broadcast to (B, H, T, S)."""
        if self.norm_first:  # x and all that is added to it: (B, T, D)
            x = x + self._drop(self.attention(self.norm1(x), mask, positions))
            if memory is not None:  # (B, T, D) attends to (B, S, D)
                x = x + self._drop(self.cross_attention(self.cross_norm(x), memory_mask, kv_input=memory))
            return x + self._drop(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self._drop(self.attention(x, mask, positions)))
        if memory is not None:
            x = self.cross_norm(x + self._drop(self.cross_attention(x, memory_mask, kv_input=memory)))
        return self.norm2(x + self._drop(self.feed_forward(x)))

    @lowers("forward", "_drop")
    def lower(self) -> Callable[..., Array] | None:
        functions: list[Any] = [lower(part) for part in (self.norm1, self.attention, self.norm2, self.feed_forward)]
        if None in functions or (self.training and self.dropout) or hasattr(self, "cross_attention"):
            return None
        norm1, attend, norm2, feed_forward = functions
        plus = add.lower()

        def norm_first(x: Array, mask: Any = None, positions: Any = None) -> Array:
            rows = x.reshape(-1, x.shape[-1])  # (B, T, D) -> (B T, D), cut once
            attended = attend(norm1(rows).reshape(x.shape), mask, positions)  # (B, T, D)
            rows = plus(rows, attended.reshape(rows.shape))
            return plus(rows, feed_forward(norm2(rows))).reshape(x.shape)  # (B, T, D)

        def norm_last(x: Array, mask: Any = None, positions: Any = None) -> Array:
            x = norm1(plus(x, attend(x, mask, positions)))
            return norm2(plus(x, feed_forward(x)))

        return norm_first if self.norm_first else norm_last

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, True, self.generator) if self.training and self.dropout else x


def make_norm(config: TransformerConfig, dtype: DType = None) -> LayerNorm | RMSNorm:
    """The norm that `config` names."""
    kind = RMSNorm if config.norm == "rms" else LayerNorm
    return kind(config.embed_dim, config.norm_eps, dtype=dtype)


def make_rotary(config: TransformerConfig) -> RotaryEmbedding | None:
    """The rotary positions that all blocks share, where `config` has them."""
    if config.positions != "rotary":
        return None
    head_dim = config.embed_dim // config.num_heads if config.head_dim is None else config.head_dim
    return RotaryEmbedding(head_dim, config.rotary_base, config.rotary_scaling)


def make_attention(
    config: TransformerConfig, causal: bool, rotary: RotaryEmbedding | None, **drawn: Any
) -> MultiHeadAttention:
    """The attention of a block."""
    return MultiHeadAttention(
        config.embed_dim, config.num_heads, config.num_kv_heads, dropout=config.dropout, causal=causal, rotary=rotary,
        head_dim=config.head_dim, bias=config.bias if config.attention_bias is None else config.attention_bias, **drawn,
    )  # fmt: skip
