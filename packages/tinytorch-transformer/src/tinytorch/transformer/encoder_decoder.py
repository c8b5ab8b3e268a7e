"""The original transformer: an encoder reads one sequence, a decoder writes another while it attends to the first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.attention import padding_mask
from tinytorch.autograd import no_grad
from tinytorch.layers import Embedding, Linear, Module, ModuleList
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor, check_int

from .block import TransformerBlock, make_norm
from .config import DType, Generator, TransformerConfig, check_config
from .generation import generate, sampling_for
from .initialize import initialize
from .positions import make_positional
from .prompts import as_prompt
from .tokens import as_tokens, visible_keys


class EncoderDecoder(Module):
    """Source (B, S) and target (B, T) tokens of one vocabulary -> logits (B, T, vocab_size) of the next target token.

    `config` is such as `TransformerConfig.original(...)` makes; `num_layers` counts the blocks of each side. Positions
    are learned, sinusoidal or none; embeddings are multiplied by sqrt(embed_dim).

    Source: Vaswani et al. 2017, Attention Is All You Need.

    >>> config = TransformerConfig.original(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32)
    >>> EncoderDecoder(config)([[1, 2, 3]], [[4, 5]]).shape
    (1, 2, 50)
    """

    def __init__(self, config: TransformerConfig, *, dtype: DType = None, generator: Generator = None) -> None:
        if check_config("EncoderDecoder", config).positions == "rotary":
            raise ValueError("EncoderDecoder: rotary positions mean nothing between two sequences; choose others")
        self.config = config
        self.generator = generator
        D = config.embed_dim
        drawn: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.token_embedding = Embedding(config.vocab_size, D, **drawn)
        self.positional = make_positional(config, **drawn)
        layers = range(config.num_layers)
        self.encoder = ModuleList(TransformerBlock(config, **drawn) for _ in layers)
        self.decoder = ModuleList(TransformerBlock(config, causal=True, cross=True, **drawn) for _ in layers)
        self.encoder_norm = make_norm(config, dtype) if config.norm_first else None
        self.decoder_norm = make_norm(config, dtype) if config.norm_first else None
        self.head = None if config.tied else Linear(D, config.vocab_size, False, **drawn)
        initialize(self, config.num_layers, generator)

    def forward(self, source: Any, target: Any, source_mask: Any = None, target_mask: Any = None) -> Tensor:
        """Logits (B, T, vocab_size). Masks, (B, S) and (B, T), are 1 for a token and 0 for padding."""
        memory = self.encode(source, source_mask)  # (B, S) -> (B, S, D)
        return self.decode(target, memory, source_mask, target_mask)  # (B, T), (B, S, D) -> (B, T, V)

    def encode(self, source: Any, mask: Any = None) -> Tensor:
        """The encoder's hidden states: (B, S) -> (B, S, D)."""
        ids = as_tokens("EncoderDecoder", source)
        visible = visible_keys("EncoderDecoder", mask, ids)  # (B, 1, 1, S)
        x = self._embed(ids)  # (B, S) -> (B, S, D)
        for block in self.encoder:
            x = block(x, visible)  # (B, S, D) -> (B, S, D)
        return x if self.encoder_norm is None else self.encoder_norm(x)

    def decode(self, target: Any, memory: Tensor, source_mask: Any = None, target_mask: Any = None) -> Tensor:
        """Logits of the tokens that follow each of the target's: (B, T), (B, S, D) -> (B, T, vocab_size)."""
        ids = as_tokens("EncoderDecoder", target)
        visible = visible_keys("EncoderDecoder", target_mask, ids)  # (B, 1, 1, T)
        visible_memory = None if source_mask is None else padding_mask(source_mask)  # (B, 1, 1, S)
        x = self._embed(ids)  # (B, T) -> (B, T, D)
        for block in self.decoder:
            x = block(x, visible, memory=memory, memory_mask=visible_memory)  # (B, T, D), (B, S, D) -> (B, T, D)
        x = x if self.decoder_norm is None else self.decoder_norm(x)
        return self.token_embedding.unembed(x) if self.head is None else self.head(x)  # -> (B, T, V)

    def generate(self, source: Any, max_new_tokens: int, start: int, source_mask: Any = None, **options: Any) -> Tensor:
        """The target that is written for each source, beginning with `start`: (B, S) -> (B, 1 + new).

        `options` are those of `Sampling`: temperature (0: the likeliest), top_k, stop, generator and others.
        """
        sampling = sampling_for(self.config, **options)
        check_int("generate", "max_new_tokens", max_new_tokens)
        ids = as_tokens("EncoderDecoder", source)
        with no_grad():
            memory = self.encode(ids, source_mask)  # (B, S) -> (B, S, D)

        def next_logits(target: Tensor) -> Tensor:
            return self.decode(target, memory, source_mask)[:, -1]  # (B, T) -> (B, V)

        return generate(next_logits, as_prompt(np.full((len(ids), 1), start)), max_new_tokens, sampling)

    def _embed(self, ids: Any) -> Tensor:
        x = self.token_embedding(ids) * math.sqrt(self.config.embed_dim)
        x = x if self.positional is None else self.positional(x)
        return F.dropout(x, self.config.dropout, self.training, self.generator)
