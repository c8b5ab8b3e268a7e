"""GPT-2. Linear layers in its blocks are (in_features, out_features) already, and q, k and v are one of them."""

from __future__ import annotations

import numpy.typing as npt

from ..config import Activation, TransformerConfig
from ..gpt import GPT
from .checkpoint import Checkpoint
from .weights import Names

ACTIVATIONS: dict[str, Activation] = {
    "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "gelu": "gelu_exact", "relu": "relu", "silu": "silu",
}  # fmt: skip

MODULES = {
    "token_embedding": "wte",
    "positional": "wpe",
    "blocks.{i}.norm1": "h.{i}.ln_1",
    "blocks.{i}.attention.q_proj": "h.{i}.attn.c_attn@0/3",
    "blocks.{i}.attention.k_proj": "h.{i}.attn.c_attn@1/3",
    "blocks.{i}.attention.v_proj": "h.{i}.attn.c_attn@2/3",
    "blocks.{i}.attention.out_proj": "h.{i}.attn.c_proj",
    "blocks.{i}.norm2": "h.{i}.ln_2",
    "blocks.{i}.feed_forward.up": "h.{i}.mlp.c_fc",
    "blocks.{i}.feed_forward.down": "h.{i}.mlp.c_proj",
    "norm": "ln_f",
    "head": "lm_head",
}


def build(checkpoint: Checkpoint, dtype: npt.DTypeLike | None) -> tuple[GPT, Names]:
    """A GPT of the sizes in `config.json`, and the names of its weights."""
    checkpoint.require(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    tied = checkpoint.option("tie_word_embeddings", True)
    config = TransformerConfig.gpt2(
        vocab_size=checkpoint.option("vocab_size"),
        embed_dim=checkpoint.option("n_embd"),
        num_layers=checkpoint.option("n_layer"),
        num_heads=checkpoint.option("n_head"),
        max_seq_len=checkpoint.option("n_positions"),
        hidden_dim=checkpoint.option("n_inner", None),
        activation=checkpoint.one_of("activation_function", ACTIVATIONS),
        norm_eps=checkpoint.option("layer_norm_epsilon", 1e-5),
        dropout=checkpoint.option("resid_pdrop", 0.0),
        tied=tied,
    )
    ignored = r"h\.\d+\.attn\.(masked_)?bias" + (r"|lm_head\.weight" if tied else "")
    return GPT.from_config(config, dtype=dtype), Names(MODULES, "transformer.", ignored, ours=r"h\..*")
