"""Talking with a transformer: how questions and answers become tokens, and tokens become answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.layers import functional as F
from tinytorch.layers import load, load_metadata, save
from tinytorch.tensor import Tensor
from tinytorch.tokenizers import BPETokenizer
from tinytorch.transformer import GPT

Pair = tuple[str, str]
SPECIAL = ["<pad>", "<bos>", "<sep>", "<eos>"]
IGNORED = -100  # the target of a token that is not to be learnt: the question, and what fills up a row
LONGEST = 128  # tokens of a question and its answer together


class Talker:
    """A model and its tokenizer: <bos> question <sep> answer <eos>."""

    def __init__(self, model: GPT, tokenizer: BPETokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.pad, self.bos, self.sep, self.eos = (tokenizer.token_to_id(name) for name in SPECIAL)

    @classmethod
    def new(cls, pairs: Sequence[Pair], vocab_size: int = 1000, **sizes: Any) -> Talker:
        """A tokenizer that learnt its tokens from the pairs, and a model that knows nothing yet."""
        tokenizer = BPETokenizer.train([text for pair in pairs for text in pair], vocab_size, SPECIAL)
        return cls(GPT(tokenizer.vocab_size, max_seq_len=LONGEST, **sizes), tokenizer)

    @classmethod
    def load(cls, folder: Path) -> Talker:
        """What `save` wrote. Raises FileNotFoundError or ValueError, which say what is wrong with which file."""
        path = folder / "model.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"there is no trained model in {folder}; train one first, without --chat")
        try:
            config = json.loads(load_metadata(path)["config"])
            model = GPT(**config)
        except (KeyError, TypeError, json.JSONDecodeError):
            raise ValueError(f"{path} holds tensors, but not a model of this program; move it away") from None
        load(model, path)
        return cls(model.eval(), BPETokenizer.load(folder / "tokenizer.json"))

    def save(self, folder: Path) -> None:
        """Write the model with its sizes, and the tokenizer, into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(folder / "tokenizer.json")
        save(self.model, folder / "model.safetensors", {"config": json.dumps(vars(self.model.config))})

    def question(self, text: str) -> list[int]:
        """The tokens that ask; what somebody types never becomes a special token."""
        return [self.bos, *self.tokenizer.encode(text, allowed_special=()), self.sep]

    def sample(self, pair: Pair) -> tuple[list[int], list[int]]:
        """Tokens to read and, for each, the token that follows if it belongs to the answer."""
        asked, told = self.question(pair[0]), [*self.tokenizer.encode(pair[1]), self.eos]
        tokens = asked + told
        return tokens[:-1], [IGNORED] * (len(asked) - 1) + told

    def batch(self, samples: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
        """Rows filled up to the length of the longest: two of shape (B, T)."""
        longest = max(len(tokens) for tokens, _ in samples)
        tokens = np.full((len(samples), longest), self.pad)
        targets = np.full((len(samples), longest), IGNORED)
        for row, (read, follows) in enumerate(samples):
            tokens[row, : len(read)] = read
            targets[row, : len(follows)] = follows
        return Tensor(tokens), Tensor(targets)

    def loss(self, model: GPT, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], ignore_index=IGNORED)

    def answers(self, questions: Sequence[str]) -> list[str]:
        """The likeliest answer to each question, all in one batch."""
        asked = [self.question(text) for text in questions]
        longest = max(map(len, asked))
        told = self.model.generate(asked, LONGEST - longest, temperature=0, stop=self.eos, pad_token=self.pad)
        return [self._text(row) for row in told.data[:, longest:].tolist()]

    def stream(self, question: str) -> Iterator[str]:
        """The answer as it comes, never half a character."""
        asked, decoder = self.question(question), self.tokenizer.stream_decoder()
        for token in self.model.stream(asked, LONGEST - len(asked), temperature=0, stop=self.eos):
            if token == self.eos:
                break
            yield decoder.feed(int(token))
        yield decoder.finish()

    def score(self, pairs: Sequence[Pair]) -> float:
        """The part of the questions that is answered to the letter."""
        given = self.answers([question for question, _ in pairs])
        return sum(answer == right for answer, (_, right) in zip(given, pairs, strict=True)) / len(pairs)

    def _text(self, tokens: list[int]) -> str:
        end = tokens.index(self.eos) if self.eos in tokens else len(tokens)
        return self.tokenizer.decode([token for token in tokens[:end] if token != self.pad])
