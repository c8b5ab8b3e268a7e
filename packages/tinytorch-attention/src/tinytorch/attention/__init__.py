"""Stage 9: scaled dot-product and multi-head attention, masks and rotary positions."""

from .fused import attention
from .heads import merge_heads, split_heads
from .masks import causal_mask, combine_masks, padding_mask, sliding_window_mask
from .multihead import Core, MultiHeadAttention
from .plotting import plot_attention
from .readable import scaled_dot_product_attention
from .rotary import RotaryEmbedding, as_positions, rotate

__version__ = "0.3.0"

__all__ = [
    "Core", "MultiHeadAttention", "RotaryEmbedding", "as_positions", "attention", "causal_mask", "combine_masks",
    "merge_heads", "padding_mask", "plot_attention", "rotate", "scaled_dot_product_attention",
    "sliding_window_mask", "split_heads",
]  # fmt: skip
