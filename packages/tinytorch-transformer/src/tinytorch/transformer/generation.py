"""Generation: ask `next_logits(tokens (B, T), mask)` for the logits (B, V), choose a token, append it, and again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.layers.checks import real
from tinytorch.tensor import Array, ShapeError, Tensor, array_of, check_int, generator_for
from tinytorch.tensor.tensor import wrap

from .config import TransformerConfig
from .processors import Processor, min_p, repetition_penalty, softmax, temperature, top_k, top_p
from .prompts import Prompt


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen. `temperature=0` takes the likeliest; otherwise one is drawn from what the logits say.

    The logits pass through repetition_penalty, temperature, top_k, top_p and min_p, as far as they are given, and then
    through `processors`, callables (ids, logits) -> logits on arrays (B, T) and (B, V); `ids` are read-only. A row ends
    with the first token that is in `stop`. `generator` draws; the default one unless given. With `window` the model
    sees only that many of the last tokens. `pad_token` fills rows that ended early or started late; it is the first
    stop token, or 0, unless given.

    Raises TypeError and ValueError for arguments that mean nothing.

    >>> Sampling(temperature=0.8, top_k=40, stop=[0, 2], generator=np.random.default_rng(0)).top_k
    40
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    stop: int | Iterable[int] | None = None
    generator: np.random.Generator | None = None
    processors: Sequence[Processor] = ()
    window: int | None = None
    pad_token: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= real("generate", "temperature", self.temperature) < math.inf:
            raise ValueError(f"generate: temperature is {self.temperature!r}; it must be 0 (the likeliest) or above")
        if self.window is not None:
            check_int("generate", "window", self.window, minimum=1)
        if self.pad_token is not None:
            check_int("generate", "pad_token", self.pad_token)
        stop = () if self.stop is None else self.stop if isinstance(self.stop, Iterable) else (self.stop,)
        object.__setattr__(self, "stop", tuple(check_int("generate", "a stop token", token) for token in stop))
        generator_for("generate", self.generator)
        self.chain()

    def chain(self) -> list[Processor]:
        """The processors in their order. With temperature 0 those that cannot change the likeliest are left out."""
        makers: tuple[tuple[Callable[[Any], Processor], Any], ...] = (
            (repetition_penalty, self.repetition_penalty), (temperature, self.temperature or None),
            (top_k, self.top_k), (top_p, self.top_p), (min_p, self.min_p),
        )  # fmt: skip
        chain = [make(value) for make, value in makers if value is not None]
        return [*(chain if self.temperature else chain[: self.repetition_penalty is not None]), *self.processors]

    def stops(self) -> Array:
        """The tokens that end a row."""
        return np.array(self.stop, np.int64)


def sampling_for(config: TransformerConfig, stop: int | Iterable[int] | None = None, **options: Any) -> Sampling:
    """`Sampling` for a model: it stops where `config` says unless `stop` is given.

    Raises as `Sampling` does, and ValueError for a pad or stop token that is not in the vocabulary.
    """
    sampling = Sampling(stop=config.stop_tokens if stop is None else stop, **options)
    for token in (*sampling.stops().tolist(), filler(sampling)):
        if token >= config.vocab_size:
            raise ValueError(f"generate: {token} as pad_token or stop; tokens are below {config.vocab_size}")
    return sampling


def choose(logits: Array, greedy: bool, generator: np.random.Generator) -> Array:
    """A token for each row of logits (B, V): the likeliest, or one drawn with the probability that softmax gives it.

    Raises FloatingPointError for logits with a NaN, and for a row in which no token is left.
    """
    sums = logits if greedy else np.cumsum(softmax(logits), axis=-1)  # (B, V)
    certain = logits.max(axis=-1) if greedy else sums[:, -1]  # (B,), NaN where there is one in the row
    if not np.isfinite(certain).all():
        raise FloatingPointError(
            f"generate: row {int(np.flatnonzero(~np.isfinite(certain))[0])} of the logits has a NaN or infinity, or no "
            "token is left; look at the weights (detect_anomaly finds where it began) and at the processors"
        )
    if greedy:
        return logits.argmax(axis=-1)  # (B, V) -> (B,)
    drawn = generator.random(len(logits)) * certain  # below the sum: so a token of probability 0 is never met
    return (sums <= drawn[:, None]).sum(axis=-1)


def steps(next_logits: Callable[..., Any], prompt: Prompt, max_new_tokens: int, sampling: Sampling) -> Iterator[Array]:
    """The new tokens (B,), one step at a time, until all are there or every row has met a stop token."""
    processors, stops = sampling.chain(), sampling.stops()
    generator = generator_for("generate", sampling.generator)
    B, start = prompt.ids.shape
    new = ((0, 0), (0, max_new_tokens))
    ids = np.pad(prompt.ids.astype(np.int64), new)  # (B, start + new)
    valid = None if prompt.valid is None else np.pad(prompt.valid, new, constant_values=True)  # (B, start + new)
    ended = np.zeros(B, bool)
    for length in range(start, start + max_new_tokens):
        seen = slice(0 if sampling.window is None else max(length - sampling.window, 0), length)
        with no_grad():  # not around the yield: between steps the caller's own mode holds
            tokens = wrap(ids[:, seen].copy())
            logits = next_logits(tokens) if valid is None else next_logits(tokens, valid[:, seen])  # (B, V)
        scores = array_of(logits)
        if processors:
            before = ids[:, :length]
            before.flags.writeable = False
            for process in processors:
                scores = process(before, scores)  # (B, length), (B, V) -> (B, V)
            if scores.shape != logits.shape:
                made = f"processors made {scores.shape} of logits {logits.shape}"
                raise ShapeError(f"generate: {made}; the shape must stay")
        chosen = choose(scores, sampling.temperature == 0, generator)  # (B, V) -> (B,)
        if stops.size:
            chosen = np.where(ended, filler(sampling), chosen)
            ended |= np.isin(chosen, stops)
        ids[:, length] = chosen
        yield chosen
        if ended.all():
            return


def filler(sampling: Sampling) -> int:
    """The token that fills rows that ended early or started late."""
    return int(next(iter(sampling.stops()), 0)) if sampling.pad_token is None else sampling.pad_token


def generate(next_logits: Callable[..., Any], prompt: Prompt, max_new_tokens: int, sampling: Sampling) -> Tensor:
    """The prompt followed by the new tokens."""
    columns = list(steps(next_logits, prompt, max_new_tokens, sampling))
    before = prompt.ids if prompt.valid is None else np.where(prompt.valid, prompt.ids, filler(sampling))
    rows = np.concatenate([before, *(column[:, None] for column in columns)], axis=1)
    return Tensor(rows[0] if prompt.single else rows)


def stream(next_logits: Callable[..., Any], prompt: Prompt, max_new_tokens: int, sampling: Sampling) -> Iterator[Any]:
    """The new tokens as they come: ints for a single prompt, arrays (B,) for a batch."""
    for chosen in steps(next_logits, prompt, max_new_tokens, sampling):
        yield int(chosen[0]) if prompt.single else chosen
