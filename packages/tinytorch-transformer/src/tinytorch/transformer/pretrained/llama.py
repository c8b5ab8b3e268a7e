"""Llama 1 to 3."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array

from ..config import TransformerConfig
from ..gpt import GPT
from .checkpoint import Checkpoint
from .weights import Family

ROPE = (
    "rope_type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
)  # fmt: skip

MODULES = {
    "token_embedding": "embed_tokens", "norm": "norm", "head": "lm_head",
    "blocks.{i}.norm1": "layers.{i}.input_layernorm", "blocks.{i}.norm2": "layers.{i}.post_attention_layernorm",
    "blocks.{i}.attention.q_proj": "layers.{i}.self_attn.q_proj",
    "blocks.{i}.attention.k_proj": "layers.{i}.self_attn.k_proj",
    "blocks.{i}.attention.v_proj": "layers.{i}.self_attn.v_proj",
    "blocks.{i}.attention.out_proj": "layers.{i}.self_attn.o_proj",
    "blocks.{i}.feed_forward.gate": "layers.{i}.mlp.gate_proj",
    "blocks.{i}.feed_forward.up": "layers.{i}.mlp.up_proj",
    "blocks.{i}.feed_forward.down": "layers.{i}.mlp.down_proj",
}  # fmt: skip


def describe(checkpoint: Checkpoint) -> Family:
    """A GPT of the sizes in `config.json`, and the names of its weights."""
    said = checkpoint.config
    checkpoint.require(pretraining_tp=1, partial_rotary_factor=1.0)
    tied = said.get("tie_word_embeddings", False)
    scaling = rope(checkpoint)
    vocab_size = said.get("vocab_size", 32000)
    config = TransformerConfig.llama(
        vocab_size=vocab_size,
        embed_dim=said.get("hidden_size", 4096),
        num_layers=said.get("num_hidden_layers", 32),
        num_heads=said.get("num_attention_heads", 32),
        num_kv_heads=said.get("num_key_value_heads"),
        head_dim=said.get("head_dim"),
        hidden_dim=said.get("intermediate_size", 11008),
        max_seq_len=said.get("max_position_embeddings", 2048),
        activation=checkpoint.one_of("hidden_act", {"silu": "swiglu"}, "silu"),
        norm_eps=said.get("rms_norm_eps", 1e-6),
        rotary_base=scaling.pop("rope_theta", 10000.0),
        rotary_scaling=scaling or None,
        bias=said.get("mlp_bias", False),
        attention_bias=said.get("attention_bias", False),
        tied=tied,
        stop_tokens=checkpoint.stop_tokens(2, vocab_size),
    )

    def is_unscaled(frequencies: Array) -> bool:
        size = frequencies.size
        return np.allclose(frequencies, config.rotary_base ** (-np.arange(size) / size), rtol=0.02)  # of 16 bits, too

    copies = {"lm_head.weight": "embed_tokens.weight"} if tied else {}
    constants = {r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq": is_unscaled}
    return Family(config, lambda dtype: GPT.from_config(config, dtype=dtype), MODULES, "model.", copies, constants)


def rope(checkpoint: Checkpoint) -> dict[str, Any]:
    """The settings of rotary positions: `rope_parameters`, or `rope_theta` and `rope_scaling` before transformers 5."""
    said = checkpoint.config
    current, before = ({**(said.get(name) or {})} for name in ("rope_parameters", "rope_scaling"))
    for each in filter(None, (current, before)):
        each.setdefault("rope_type", each.pop("type", "default"))
    if said.get("rope_theta") is not None:
        before["rope_theta"] = said["rope_theta"]
    if current and any(current.get(name, value) != value for name, value in before.items()):
        raise checkpoint.wrong(f"rope_parameters {current} contradict rope_scaling and rope_theta {before}")
    if unknown := {*before, *current} - {*ROPE}:
        raise checkpoint.wrong(f"rotary positions with {', '.join(sorted(unknown))}; known are {', '.join(ROPE)}")
    return {**before, **current}
