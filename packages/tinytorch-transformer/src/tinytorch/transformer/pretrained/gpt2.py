"""GPT-2. Linear layers in its blocks are (in_features, out_features) already, and q, k and v are one of them."""

from __future__ import annotations

import numpy as np

from ..config import Activation, TransformerConfig
from ..gpt import GPT
from .checkpoint import Checkpoint
from .weights import Family

ACTIVATIONS: dict[str, Activation] = {
    "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "gelu": "gelu_exact", "relu": "relu", "silu": "silu",
}  # fmt: skip

MODULES = {
    "token_embedding": "wte", "positional": "wpe", "norm": "ln_f", "head": "lm_head",
    "blocks.{i}.norm1": "h.{i}.ln_1", "blocks.{i}.norm2": "h.{i}.ln_2",
    "blocks.{i}.attention.q_proj": "h.{i}.attn.c_attn@0/3", "blocks.{i}.attention.k_proj": "h.{i}.attn.c_attn@1/3",
    "blocks.{i}.attention.v_proj": "h.{i}.attn.c_attn@2/3", "blocks.{i}.attention.out_proj": "h.{i}.attn.c_proj",
    "blocks.{i}.feed_forward.up": "h.{i}.mlp.c_fc", "blocks.{i}.feed_forward.down": "h.{i}.mlp.c_proj",
}  # fmt: skip


def describe(checkpoint: Checkpoint) -> Family:
    """A GPT of the sizes in `config.json`, and the names of its weights."""
    said = checkpoint.config
    checkpoint.require(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    tied = said.get("tie_word_embeddings", True)
    vocab_size = said.get("vocab_size", 50257)
    config = TransformerConfig.gpt2(
        vocab_size=vocab_size,
        embed_dim=said.get("n_embd", 768),
        num_layers=said.get("n_layer", 12),
        num_heads=said.get("n_head", 12),
        max_seq_len=said.get("n_positions", 1024),
        hidden_dim=said.get("n_inner"),
        activation=checkpoint.one_of("activation_function", ACTIVATIONS, "gelu_new"),
        norm_eps=said.get("layer_norm_epsilon", 1e-5),
        dropout=said.get("resid_pdrop", 0.1),
        tied=tied,
        stop_tokens=checkpoint.stop_tokens(50256, vocab_size),
    )
    copies = {"lm_head.weight": "wte.weight"} if tied else {}
    constants = {
        r"h\.\d+\.attn\.bias": lambda mask: np.array_equal(np.squeeze(mask), np.tri(mask.shape[-1])),
        r"h\.\d+\.attn\.masked_bias": lambda low: bool((low <= -1e4).all()),
    }
    prefix, ours = "transformer.", r"h\..*"
    return Family(config, lambda dtype: GPT.from_config(config, dtype=dtype), MODULES, prefix, copies, constants, ours)
