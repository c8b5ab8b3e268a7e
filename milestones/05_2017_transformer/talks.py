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
IGNORED = -100  # the target of a token that is not to be learned: the question, and what fills up a row
LONGEST, ROOM = 128, 32  # tokens of a question and its answer together, and those kept free for the answer
PREAMBLES = (
    "Tell me: ", "Please say: ", "Please answer: ", "Can you tell me: ", "I would like to know: ", "Hey Tiny, ",
    "Excuse me, ", "Say: ", "Please, ",
)  # fmt: skip


def vary(question: str, generator: np.random.Generator) -> str:
    """The question as people may type it: two in five lack a letter, one in five begins with one of `PREAMBLES`."""
    if generator.random() < 0.4:
        question = drop_letter(question, generator)
    if generator.random() < 0.2:
        question = PREAMBLES[generator.integers(len(PREAMBLES))] + question
    return question


def drop_letter(text: str, generator: np.random.Generator) -> str:
    """`text` without one of its letters, drawn evenly."""
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    dropped = letters[generator.integers(len(letters))]
    return text[:dropped] + text[dropped + 1 :]


class TooLong(ValueError):
    """A question that leaves no room for an answer."""


class Talker:
    """A model and its tokenizer: <bos> question <sep> answer <eos>. Questions are read in lower case."""

    def __init__(self, model: GPT, tokenizer: BPETokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.pad, self.bos, self.sep, self.eos = (tokenizer.token_to_id(name) for name in SPECIAL)

    @classmethod
    def new(cls, pairs: Sequence[Pair], vocab_size: int = 1000, **sizes: Any) -> Talker:
        """A tokenizer that learned its tokens from the pairs, and a model that knows nothing yet."""
        texts = [text for question, answer in pairs for text in (question.lower(), answer)]
        texts += [preamble.lower() for preamble in PREAMBLES] * (len(pairs) // 45)  # about as often as `vary` says them
        tokenizer = BPETokenizer.train(texts, vocab_size, SPECIAL)
        return cls(GPT(tokenizer.vocab_size, max_seq_len=LONGEST, **sizes), tokenizer)

    @classmethod
    def load(cls, folder: Path) -> Talker:
        """What `save` wrote. Raises FileNotFoundError or ValueError, which say what is wrong with which file."""
        path = folder / "model.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"there is no trained model in {folder}; train one first, without --chat")
        try:
            model = GPT(**json.loads(load_metadata(path)["config"]))
        except (KeyError, TypeError, json.JSONDecodeError):
            raise ValueError(f"{path} holds tensors, but not a model of this program; move it away") from None
        load(model, path)
        return cls(model.eval(), BPETokenizer.load(folder / "tokenizer.json"))

    def save(self, folder: Path, steps: int) -> None:
        """Write the model with its sizes and the steps of its training, and the tokenizer, into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(folder / "tokenizer.json")
        metadata = {"config": json.dumps(vars(self.model.config)), "steps": str(steps)}
        save(self.model, folder / "model.safetensors", metadata)

    def question(self, text: str) -> list[int]:
        """The tokens that ask; text that is typed never becomes a special token. Raises TooLong."""
        tokens = [self.bos, *self.tokenizer.encode(text.lower(), allowed_special=()), self.sep]
        if len(tokens) > LONGEST - ROOM:
            raise TooLong(
                f"That is too long for me: {len(tokens)} tokens, and I read {LONGEST - ROOM}. Ask in fewer words."
            )
        return tokens

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
