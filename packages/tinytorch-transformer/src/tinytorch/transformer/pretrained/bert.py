"""BERT, with those of its heads that the checkpoint holds: pooler, masked tokens, next sentence."""

from __future__ import annotations

import numpy.typing as npt

from ..bert import BERT
from ..config import Activation, TransformerConfig
from .checkpoint import Checkpoint
from .weights import Names

ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu_exact", "gelu_new": "gelu", "relu": "relu", "silu": "silu"}

MODULES = {
    "token_embedding": "embeddings.word_embeddings",
    "positional": "embeddings.position_embeddings",
    "segment_embedding": "embeddings.token_type_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
    "blocks.{i}.attention.q_proj": "encoder.layer.{i}.attention.self.query",
    "blocks.{i}.attention.k_proj": "encoder.layer.{i}.attention.self.key",
    "blocks.{i}.attention.v_proj": "encoder.layer.{i}.attention.self.value",
    "blocks.{i}.attention.out_proj": "encoder.layer.{i}.attention.output.dense",
    "blocks.{i}.norm1": "encoder.layer.{i}.attention.output.LayerNorm",
    "blocks.{i}.feed_forward.up": "encoder.layer.{i}.intermediate.dense",
    "blocks.{i}.feed_forward.down": "encoder.layer.{i}.output.dense",
    "blocks.{i}.norm2": "encoder.layer.{i}.output.LayerNorm",
    "pooler": "pooler.dense",
    "masked_lm.dense": "cls.predictions.transform.dense",
    "masked_lm.norm": "cls.predictions.transform.LayerNorm",
    "masked_lm.bias": "cls.predictions.bias",
    "next_sentence": "cls.seq_relationship",
}


def build(checkpoint: Checkpoint, dtype: npt.DTypeLike | None) -> tuple[BERT, Names]:
    """A BERT of the sizes in `config.json`, and the names of its weights."""
    checkpoint.require(position_embedding_type="absolute", is_decoder=False, tie_word_embeddings=True)
    config = TransformerConfig.bert(
        vocab_size=checkpoint.option("vocab_size"),
        embed_dim=checkpoint.option("hidden_size"),
        num_layers=checkpoint.option("num_hidden_layers"),
        num_heads=checkpoint.option("num_attention_heads"),
        hidden_dim=checkpoint.option("intermediate_size"),
        max_seq_len=checkpoint.option("max_position_embeddings"),
        num_segments=checkpoint.option("type_vocab_size", 2),
        activation=checkpoint.one_of("hidden_act", ACTIVATIONS),
        norm_eps=checkpoint.option("layer_norm_eps", 1e-12),
        dropout=checkpoint.option("hidden_dropout_prob", 0.0),
    )
    names = {name.removeprefix("bert.") for name in checkpoint.names()}
    model = BERT(
        config,
        pooler="pooler.dense.weight" in names,
        masked_lm="cls.predictions.bias" in names,
        next_sentence="cls.seq_relationship.weight" in names,
        dtype=dtype,
    )
    copies = r"embeddings\.position_ids|cls\.predictions\.decoder\.(weight|bias)"
    return model, Names(MODULES, "bert.", copies)
