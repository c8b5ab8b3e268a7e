"""Llama 1 to 3."""

from __future__ import annotations

import numpy.typing as npt

from ..config import TransformerConfig
from ..gpt import GPT
from .checkpoint import Checkpoint
from .weights import Names

MODULES = {
    "token_embedding": "embed_tokens",
    "blocks.{i}.norm1": "layers.{i}.input_layernorm",
    "blocks.{i}.attention.q_proj": "layers.{i}.self_attn.q_proj",
    "blocks.{i}.attention.k_proj": "layers.{i}.self_attn.k_proj",
    "blocks.{i}.attention.v_proj": "layers.{i}.self_attn.v_proj",
    "blocks.{i}.attention.out_proj": "layers.{i}.self_attn.o_proj",
    "blocks.{i}.norm2": "layers.{i}.post_attention_layernorm",
    "blocks.{i}.feed_forward.gate": "layers.{i}.mlp.gate_proj",
    "blocks.{i}.feed_forward.up": "layers.{i}.mlp.up_proj",
    "blocks.{i}.feed_forward.down": "layers.{i}.mlp.down_proj",
    "norm": "norm",
    "head": "lm_head",
}


def build(checkpoint: Checkpoint, dtype: npt.DTypeLike | None) -> tuple[GPT, Names]:
    """A GPT of the sizes in `config.json`, and the names of its weights."""
    checkpoint.require(pretraining_tp=1)
    tied = checkpoint.option("tie_word_embeddings", False)
    # transformers 5 writes rope_parameters; before it there were rope_theta and rope_scaling
    rotary = checkpoint.option("rope_parameters", None) or {
        "rope_theta": checkpoint.option("rope_theta", 10000.0), **(checkpoint.option("rope_scaling", None) or {})
    }  # fmt: skip
    config = TransformerConfig.llama(
        vocab_size=checkpoint.option("vocab_size"),
        embed_dim=checkpoint.option("hidden_size"),
        num_layers=checkpoint.option("num_hidden_layers"),
        num_heads=checkpoint.option("num_attention_heads"),
        num_kv_heads=checkpoint.option("num_key_value_heads", None),
        head_dim=checkpoint.option("head_dim", None),
        hidden_dim=checkpoint.option("intermediate_size"),
        max_seq_len=checkpoint.option("max_position_embeddings"),
        activation=checkpoint.one_of("hidden_act", {"silu": "swiglu"}),
        norm_eps=checkpoint.option("rms_norm_eps", 1e-6),
        rotary_base=rotary["rope_theta"],
        rotary_scaling={name: value for name, value in rotary.items() if name != "rope_theta"} or None,
        bias=checkpoint.option("mlp_bias", False),
        attention_bias=checkpoint.option("attention_bias", False),
        tied=tied,
    )
    ignored = r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq" + (r"|lm_head\.weight" if tied else "")
    return GPT.from_config(config, dtype=dtype), Names(MODULES, "model.", ignored)
