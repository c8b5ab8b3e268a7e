"""GPT: a stack of causal blocks that says which token comes next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.layers import Embedding, Linear, Module, ModuleList, lower, lowers
from tinytorch.layers import functional as F
from tinytorch.tensor import Array, Tensor, check_int

from .block import TransformerBlock, make_norm, make_rotary
from .config import DType, Generator, TransformerConfig, check_config
from .generation import Sampling, generate, sampling_for, stream
from .initialize import initialize
from .positions import make_positional
from .processors import Processor
from .prompts import Prompt, as_prompt
from .tokens import as_tokens, valid_positions, visible_keys


class GPT(Module):
    """A language model: tokens (B, T) -> logits (B, T, vocab_size), each position seeing itself and those before it.

    `options` are the other fields of `TransformerConfig`; left out, this is GPT-2. `GPT.from_config` builds any
    decoder that a configuration describes, such as `TransformerConfig.llama(...)`.

    Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners.

    >>> model = GPT(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32)
    >>> model([[1, 2, 3]]).shape
    (1, 3, 50)
    """

    def __init__(
        self, vocab_size: int, embed_dim: int, num_layers: int, num_heads: int, max_seq_len: int, *,
        dtype: DType = None, generator: Generator = None, **options: Any,
    ) -> None:  # fmt: skip
        self.config = config = TransformerConfig(
            vocab_size=vocab_size, embed_dim=embed_dim, num_layers=num_layers, num_heads=num_heads,
            max_seq_len=max_seq_len, **options,
        )  # fmt: skip
        self.vocab_size, self.max_seq_len = vocab_size, max_seq_len
        self.embed_dim, self.num_layers, self.num_heads = embed_dim, num_layers, num_heads
        self.generator = generator
        drawn: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.token_embedding = Embedding(vocab_size, embed_dim, **drawn)
        self.positional = make_positional(config, **drawn)
        rotary = make_rotary(config)
        self.blocks = ModuleList(TransformerBlock(config, True, rotary, **drawn) for _ in range(num_layers))
        self.norm = make_norm(config, dtype) if config.norm_first else None
        self.head = None if config.tied else Linear(embed_dim, vocab_size, False, **drawn)
        initialize(self, num_layers, generator)

    @classmethod
    def from_config(cls, config: TransformerConfig, *, dtype: DType = None, generator: Generator = None) -> GPT:
        """The decoder that `config` describes."""
        return cls(**vars(check_config("GPT", config)), dtype=dtype, generator=generator)

    def forward(self, tokens: Any, mask: Any = None, positions: Any = None, last_only: bool = False) -> Tensor:
        """Logits (B, T, vocab_size), or (B, 1, vocab_size) of the last position with `last_only`.

        `tokens` (B, T) are integers; `mask` (B, T) is 1 for a token and 0 for padding, and is (B, S) when attention
        sees S - T earlier keys. `positions` (T,) or (B, T) count from 0, without padding, unless given. Raises
        DTypeError for tokens that are not integers, IndexError for one that is not in the vocabulary, ShapeError for
        shapes that do not fit and ValueError for more positions than were learned.
        """
        x = self.hidden(tokens, mask, positions)  # (B, T) -> (B, T, D)
        return self.logits(x[:, -1:] if last_only else x)  # (B, T, D) -> (B, T, V), or (B, 1, D) -> (B, 1, V)

    def hidden(self, tokens: Any, mask: Any = None, positions: Any = None) -> Tensor:
        """What the last block and norm make of the tokens: (B, T) -> (B, T, D)."""
        ids, visible, positions = self._inputs(tokens, mask, positions)
        x = self.token_embedding(ids)  # (B, T) -> (B, T, D)
        if self.positional is not None:
            x = self.positional(x, positions)  # (B, T, D) + (T, D)
        if self.training and self.config.dropout:
            x = F.dropout(x, self.config.dropout, True, self.generator)
        for block in self.blocks:
            x = block(x, visible, positions)  # (B, T, D) -> (B, T, D)
        return x if self.norm is None else self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token: (..., D) -> (..., vocab_size)."""
        return self.token_embedding.unembed(hidden) if self.head is None else self.head(hidden)

    def _inputs(self, tokens: Any, mask: Any, positions: Any) -> tuple[Array, Array | None, Array | None]:
        """Tokens (B, T), which keys they may see (B, 1, 1, S), and positions, as arrays; None where nothing is said."""
        ids = as_tokens("GPT", tokens)
        visible = visible_keys("GPT", mask, ids)
        if positions is None and visible is not None:
            positions = valid_positions(visible, ids.shape[1])
        if positions is not None:
            positions = np.array(positions)
            positions.flags.writeable = False  # so that all layers may share what they look up for them
        return ids, visible, positions

    @lowers("forward", "hidden", "logits", "_inputs")
    def lower(self) -> Callable[..., Array] | None:
        def unchanged(x: Array, *others: Any) -> Array:
            return x

        parts = (self.token_embedding, self.positional, self.norm, *self.blocks)
        functions: list[Any] = [unchanged if part is None else lower(part) for part in parts]
        head: Any = lower(self.token_embedding, "unembed") if self.head is None else lower(self.head)
        if None in (head, *functions) or (self.training and self.config.dropout):
            return None
        embed, positional, norm, *blocks = functions

        def forward(tokens: Any, mask: Any = None, positions: Any = None, last_only: bool = False) -> Array:
            ids, visible, positions = self._inputs(tokens, mask, positions)
            x = positional(embed(ids), positions)  # (B, T) -> (B, T, D)
            for block in blocks:
                x = block(x, visible, positions)  # (B, T, D) -> (B, T, D)
            x = norm(x)
            return head(x[:, -1:] if last_only else x)  # (B, T, D) -> (B, T, V), or (B, 1, D) -> (B, 1, V)

        return forward

    def next_logits(self, tokens: Any, mask: Any = None) -> Tensor:
        """Logits of the token that follows each row: (B, T) -> (B, vocab_size). All that generation asks for."""
        return self(tokens, mask, last_only=True)[:, 0]

    def generate(
        self, prompt_tokens: Any, max_new_tokens: int, temperature: float = 1.0, top_k: int | None = None,
        top_p: float | None = None, min_p: float | None = None, repetition_penalty: float | None = None,
        stop: int | Iterable[int] | None = None, generator: Generator = None, processors: Sequence[Processor] = (),
        window: int | None = None, pad_token: int | None = None,
    ) -> Tensor:  # fmt: skip
        """The prompt and up to `max_new_tokens` new tokens: (B, T + new), or (T + new,) for one prompt (T,).

        A batch may be a list of prompts of different lengths; shorter ones are padded in front. `temperature=0` takes
        the likeliest token each time. A row ends with the first token in `stop`, which is `config.stop_tokens` unless
        given (`[]` for none); generation ends when all rows have ended. `Sampling` describes the other arguments.
        Dropout is active while the model trains: call `eval()` first.

        Raises as `Sampling` does, and ValueError for a pad or stop token that is not in the vocabulary, and when more
        positions would be needed than were learned and no `window` is given.

        >>> model = GPT(vocab_size=50, embed_dim=16, num_layers=1, num_heads=2, max_seq_len=32)
        >>> model.generate([[1, 2, 3]], max_new_tokens=5, temperature=0).shape
        (1, 8)
        """
        sampling = sampling_for(
            self.config, stop, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            repetition_penalty=repetition_penalty, generator=generator, processors=processors, window=window,
            pad_token=pad_token,
        )  # fmt: skip
        prompt = self._prompt(prompt_tokens, max_new_tokens, sampling)
        return generate(self._next, prompt, max_new_tokens, sampling)

    def stream(self, prompt_tokens: Any, max_new_tokens: int, **options: Any) -> Iterator[Any]:
        """The new tokens as they come: ints for one prompt (T,), arrays (B,) for a batch; `options` of `generate`."""
        sampling = sampling_for(self.config, **options)
        return stream(self._next, self._prompt(prompt_tokens, max_new_tokens, sampling), max_new_tokens, sampling)

    def _next(self, *args: Any) -> Tensor:
        return self.next_logits(*args)  # looked up each time: it may be replaced on the instance

    def _prompt(self, tokens: Any, max_new_tokens: int, sampling: Sampling) -> Prompt:
        check_int("generate", "max_new_tokens", max_new_tokens)
        prompt = as_prompt(tokens)
        length = prompt.ids.shape[1]
        needed = min(length + max_new_tokens - 1, sampling.window or math.inf)  # the model never sees the last token
        if self.config.positions == "learned" and needed > self.max_seq_len:
            raise ValueError(
                f"generate: {length} tokens and {max_new_tokens} new ones, and {self.max_seq_len} positions were "
                f"learned; ask for fewer, or pass window={self.max_seq_len} to go on from the last ones"
            )
        return prompt
