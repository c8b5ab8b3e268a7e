"""BERT: an encoder, in which every token sees all others."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import Embedding, LayerNorm, Linear, Module, ModuleList, Parameter
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor, zeros

from .block import TransformerBlock, make_norm, make_rotary
from .config import DType, Generator, TransformerConfig, check_config
from .initialize import initialize
from .positions import make_positional
from .tokens import as_tokens, visible_keys


class BERT(Module):
    """An encoder: tokens (B, T) -> hidden states (B, T, embed_dim).

    `config` is such as `TransformerConfig.bert(...)` makes. With `pooler` there is a layer for the whole text, with
    `masked_lm` one that guesses tokens, with `next_sentence` (which needs the pooler) one that tells whether the second
    segment follows the first.

    Source: Devlin et al. 2018, BERT: Pre-training of Deep Bidirectional Transformers.

    >>> config = TransformerConfig.bert(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32)
    >>> BERT(config)([[1, 2, 3]], mask=[[1, 1, 0]]).shape
    (1, 3, 16)
    """

    def __init__(
        self, config: TransformerConfig, pooler: bool = False, masked_lm: bool = False, next_sentence: bool = False, *,
        dtype: DType = None, generator: Generator = None,
    ) -> None:  # fmt: skip
        if next_sentence and not pooler:
            raise ValueError("BERT: next_sentence without pooler; it looks at what the pooler makes, pass pooler=True")
        self.config = check_config("BERT", config)
        self.generator = generator
        D = config.embed_dim
        drawn: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.token_embedding = Embedding(config.vocab_size, D, **drawn)
        self.segment_embedding = Embedding(config.num_segments, D, **drawn) if config.num_segments else None
        self.positional = make_positional(config, **drawn)
        self.embedding_norm = make_norm(config, dtype) if not config.norm_first else None
        rotary = make_rotary(config)
        self.blocks = ModuleList(TransformerBlock(config, False, rotary, **drawn) for _ in range(config.num_layers))
        self.norm = make_norm(config, dtype) if config.norm_first else None
        self.pooler = Linear(D, D, **drawn) if pooler else None
        self.masked_lm = MaskedLM(config, **drawn) if masked_lm else None
        self.next_sentence = Linear(D, 2, **drawn) if next_sentence else None
        initialize(self, config.num_layers, generator)

    def forward(self, tokens: Any, mask: Any = None, segments: Any = None, positions: Any = None) -> Tensor:
        """Hidden states (B, T, D). `mask` (B, T) is 1 for a token, 0 for padding; `segments` (B, T) are 0 unless given.

        Raises DTypeError for tokens that are not integers, IndexError for one that is not in the vocabulary, ShapeError
        for shapes that do not fit and ValueError for more positions than were learned.
        """
        ids = as_tokens("BERT", tokens)
        visible = visible_keys("BERT", mask, ids)  # (B, 1, 1, T)
        x = self.token_embedding(ids)  # (B, T) -> (B, T, D)
        if self.segment_embedding is not None:
            x = x + self.segment_embedding(np.zeros_like(ids) if segments is None else as_tokens("BERT", segments))
        elif segments is not None:
            raise ValueError("BERT: segments, and the configuration has none; set num_segments")
        if self.positional is not None:
            x = self.positional(x, positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        x = F.dropout(x, self.config.dropout, self.training, self.generator)
        for block in self.blocks:
            x = block(x, visible, positions)  # (B, T, D) -> (B, T, D)
        return x if self.norm is None else self.norm(x)

    def pooled(self, hidden: Tensor) -> Tensor:
        """What stands for the whole text, made of its first token: (B, T, D) -> (B, D)."""
        return _present("pooler", self.pooler)(hidden[:, 0]).tanh()

    def token_logits(self, hidden: Tensor) -> Tensor:
        """Scores of the token at each place: (..., D) -> (..., vocab_size)."""
        return _present("masked_lm", self.masked_lm)(hidden, self.token_embedding)

    def next_sentence_logits(self, hidden: Tensor) -> Tensor:
        """Scores that the second segment follows the first (0) or does not (1): (B, T, D) -> (B, 2)."""
        return _present("next_sentence", self.next_sentence)(self.pooled(hidden))


class MaskedLM(Module):
    """Guesses tokens from hidden states, with the table of the embedding: (..., D) -> (..., vocab_size)."""

    def __init__(self, config: TransformerConfig, *, dtype: DType = None, generator: Generator = None) -> None:
        self.dense = Linear(config.embed_dim, config.embed_dim, dtype=dtype, generator=generator)
        self.norm = LayerNorm(config.embed_dim, config.norm_eps, dtype=dtype)
        self.bias = Parameter(zeros(config.vocab_size, dtype=dtype))

    def forward(self, hidden: Tensor, embedding: Embedding) -> Tensor:
        return embedding.unembed(self.norm(F.gelu(self.dense(hidden), approximate="none")), self.bias)


def _present(name: str, module: Module | None) -> Module:
    if module is None:
        raise ValueError(f"BERT: it was made without {name}; make it with {name}=True")
    return module
