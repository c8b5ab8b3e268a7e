"""BERT, with those of its heads that the checkpoint holds: pooler, masked tokens, next sentence."""

from __future__ import annotations

import numpy as np

from ..bert import BERT
from ..config import Activation, TransformerConfig
from .checkpoint import Checkpoint
from .weights import Family

ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu_exact", "gelu_new": "gelu", "relu": "relu", "silu": "silu"}

MODULES = {
    "token_embedding": "embeddings.word_embeddings", "positional": "embeddings.position_embeddings",
    "segment_embedding": "embeddings.token_type_embeddings", "embedding_norm": "embeddings.LayerNorm",
    "blocks.{i}.attention.q_proj": "encoder.layer.{i}.attention.self.query",
    "blocks.{i}.attention.k_proj": "encoder.layer.{i}.attention.self.key",
    "blocks.{i}.attention.v_proj": "encoder.layer.{i}.attention.self.value",
    "blocks.{i}.attention.out_proj": "encoder.layer.{i}.attention.output.dense",
    "blocks.{i}.norm1": "encoder.layer.{i}.attention.output.LayerNorm",
    "blocks.{i}.feed_forward.up": "encoder.layer.{i}.intermediate.dense",
    "blocks.{i}.feed_forward.down": "encoder.layer.{i}.output.dense",
    "blocks.{i}.norm2": "encoder.layer.{i}.output.LayerNorm",
    "pooler": "pooler.dense", "next_sentence": "cls.seq_relationship",
    "masked_lm.dense": "cls.predictions.transform.dense",
    "masked_lm.norm": "cls.predictions.transform.LayerNorm",
    "masked_lm.bias": "cls.predictions.bias",
}  # fmt: skip


def describe(checkpoint: Checkpoint) -> Family:
    """A BERT of the sizes in `config.json`, and the names of its weights."""
    said = checkpoint.config
    checkpoint.require(position_embedding_type="absolute", is_decoder=False, tie_word_embeddings=True)
    config = TransformerConfig.bert(
        vocab_size=said.get("vocab_size", 30522),
        embed_dim=said.get("hidden_size", 768),
        num_layers=said.get("num_hidden_layers", 12),
        num_heads=said.get("num_attention_heads", 12),
        hidden_dim=said.get("intermediate_size", 3072),
        max_seq_len=said.get("max_position_embeddings", 512),
        num_segments=said.get("type_vocab_size", 2),
        activation=checkpoint.one_of("hidden_act", ACTIVATIONS, "gelu"),
        norm_eps=said.get("layer_norm_eps", 1e-12),
        dropout=said.get("hidden_dropout_prob", 0.1),
    )
    present = {name.removeprefix("bert.") for file in checkpoint.files for name in file}
    heads = [name in present for name in ("pooler.dense.weight", "cls.predictions.bias", "cls.seq_relationship.weight")]
    copies = {
        "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    constants = {r"embeddings\.position_ids": lambda ids: np.array_equal(ids.reshape(-1), np.arange(ids.size))}
    return Family(config, lambda dtype: BERT(config, *heads, dtype=dtype), MODULES, "bert.", copies, constants)
