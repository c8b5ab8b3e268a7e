"""Llama 1 to 3."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Array

from ..config import TransformerConfig
from ..gpt import GPT
from .checkpoint import Checkpoint
from .weights import Family, Names

ROPE = (
    "rope_type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
)  # fmt: skip

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


def describe(checkpoint: Checkpoint) -> Family:
    """A GPT of the sizes in `config.json`, and the names of its weights."""
    checkpoint.require(pretraining_tp=1, partial_rotary_factor=1.0)
    tied = checkpoint.option("tie_word_embeddings", False)
    scaling = rope(checkpoint)
    vocab_size = checkpoint.option("vocab_size", 32000)
    config = TransformerConfig.llama(
        vocab_size=vocab_size,
        embed_dim=checkpoint.option("hidden_size", 4096),
        num_layers=checkpoint.option("num_hidden_layers", 32),
        num_heads=checkpoint.option("num_attention_heads", 32),
        num_kv_heads=checkpoint.option("num_key_value_heads", None),
        head_dim=checkpoint.option("head_dim", None),
        hidden_dim=checkpoint.option("intermediate_size", 11008),
        max_seq_len=checkpoint.option("max_position_embeddings", 2048),
        activation=checkpoint.one_of("hidden_act", {"silu": "swiglu"}, "silu"),
        norm_eps=checkpoint.option("rms_norm_eps", 1e-6),
        rotary_base=scaling.pop("rope_theta", 10000.0),
        rotary_scaling=scaling or None,
        bias=checkpoint.option("mlp_bias", False),
        attention_bias=checkpoint.option("attention_bias", False),
        tied=tied,
        stop_tokens=checkpoint.stop_tokens(2, vocab_size),
    )

    def is_unscaled(frequencies: Array) -> bool:
        size = frequencies.size
        return np.allclose(frequencies, config.rotary_base ** (-np.arange(size) / size), rtol=0.02)  # of 16 bits, too

    copies = {"lm_head.weight": "embed_tokens.weight"} if tied else {}
    names = Names(MODULES, "model.", copies, {r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq": is_unscaled})
    return Family(config, lambda dtype: GPT.from_config(config, dtype=dtype), names)


def rope(checkpoint: Checkpoint) -> dict[str, Any]:
    """The settings of rotary positions: `rope_parameters` of transformers 5, `rope_theta` and `rope_scaling` before it.

    Raises FileFormatError when both are there and contradict each other.
    """
    current, before = ({**(checkpoint.option(name, None) or {})} for name in ("rope_parameters", "rope_scaling"))
    if checkpoint.option("rope_theta", None) is not None:
        before["rope_theta"] = checkpoint.option("rope_theta", None)
    for said in (current, before):
        if (kind := said.pop("type", None)) and said.setdefault("rope_type", kind) != kind:
            raise checkpoint.wrong(f"rotary positions of the type {kind!r} and of {said['rope_type']!r}")
    for name, value in before.items() if current else ():
        if current.get(name, value if name == "rope_theta" else "default") != value:
            raise checkpoint.wrong(f"rope_parameters {current} contradict rope_theta and rope_scaling {before}")
    if unknown := {*before, *current} - {*ROPE}:
        raise checkpoint.wrong(f"rotary positions with {', '.join(sorted(unknown))}; known are {', '.join(ROPE)}")
    return {**before, **current}
