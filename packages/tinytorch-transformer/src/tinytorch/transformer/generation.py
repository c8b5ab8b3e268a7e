"""Generation: ask for the logits that follow, choose a token, append it, and again.

Works with anything that answers `next_logits(tokens, mask=None)`: tokens (B, T) -> logits (B, V).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.tensor import Array, Tensor, generator_for

from .processors import Processor, min_p, repetition_penalty, temperature, top_k, top_p
from .prompts import Prompt

NextLogits = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen. `temperature=0` takes the likeliest; otherwise one is drawn from what the logits say.

    The logits pass through repetition_penalty, temperature, top_k, top_p, min_p, those that are given, and then through
    `processors`, callables (ids, logits) -> logits on arrays (B, T) and (B, V). A row ends with the first token that is
    in `stop`. `generator` draws; the default one unless given. `window` shows the model the last so many tokens only.
    `pad_token` fills rows that stopped early or started late; the first stop token, or 0, unless given.

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
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"generate: temperature is {self.temperature!r}; it must be 0 (the likeliest) or above")
        if self.window is not None and self.window < 1:
            raise ValueError(f"generate: a window of {self.window} tokens; it must be at least 1")

    def chain(self) -> list[Processor]:
        """The processors in their order. With temperature 0 those that cannot change the likeliest are left out."""
        chain: list[Processor] = []
        if self.repetition_penalty is not None:
            chain.append(repetition_penalty(self.repetition_penalty))
        if self.temperature not in (0, 1):
            chain.append(temperature(self.temperature))
        if self.temperature:
            chain += [] if self.top_k is None else [top_k(self.top_k)]
            chain += [] if self.top_p is None else [top_p(self.top_p)]
            chain += [] if self.min_p is None else [min_p(self.min_p)]
        return [*chain, *self.processors]

    def stops(self) -> Array:
        """The tokens that end a row."""
        if self.stop is None:
            return np.empty(0, np.int64)
        stops = np.asarray([self.stop] if isinstance(self.stop, int | np.integer) else list(self.stop))
        if stops.size and stops.dtype.kind not in "iu":
            raise TypeError(f"generate: stop is {self.stop!r}; it is a token or several, as integers")
        return stops.astype(np.int64)


def choose(logits: Array, greedy: bool, generator: np.random.Generator) -> Array:
    """A token for each row of logits (B, V): the likeliest, or one drawn with the probability that softmax gives it.

    Raises FloatingPointError for logits with a NaN, and for a row in which no token is left.
    """
    if greedy:
        tokens = logits.argmax(axis=-1)
        best = logits[np.arange(len(logits)), tokens]  # a NaN counts as the largest
        if not np.isfinite(best).all():
            raise _no_choice(best)
        return tokens
    sums = np.cumsum(_exponentials(logits), axis=-1)
    total = sums[:, -1]
    if not np.isfinite(total).all():
        raise _no_choice(total)
    drawn = generator.random(len(logits)) * total  # below the total: so a token of probability 0 is never met
    return (sums <= drawn[:, None]).sum(axis=-1)


def _exponentials(logits: Array) -> Array:
    with np.errstate(invalid="ignore"):  # minus infinity throughout becomes NaN, which is refused
        shifted = np.subtract(logits, logits.max(axis=-1, keepdims=True), dtype=np.float64)
    return np.exp(shifted, out=shifted)


def _no_choice(values: Array) -> FloatingPointError:
    row = int(np.flatnonzero(~np.isfinite(values))[0])
    return FloatingPointError(
        f"generate: row {row} of the logits has a NaN or infinity, or no token is left; "
        "look at the weights (detect_anomaly finds where it began) and at the processors"
    )


def steps(next_logits: NextLogits, prompt: Prompt, new: int, how: Sampling) -> Iterator[Array]:
    """The new tokens (B,), one step at a time, until `new` are there or every row has met a stop token."""
    processors, stops = how.chain(), how.stops()
    generator = generator_for("generate", how.generator)
    greedy = how.temperature == 0
    B, start = prompt.ids.shape
    ids = np.empty((B, start + new), np.int64)
    ids[:, :start] = prompt.ids
    counts = None
    if prompt.counts is not None:
        counts = np.ones(ids.shape, bool)
        counts[:, :start] = prompt.counts
    ended = np.zeros(B, bool)
    fill = filler(how)
    for length in range(start, start + new):
        seen = slice(0 if how.window is None else max(length - how.window, 0), length)
        with no_grad():  # not around the yield: between steps the caller's own mode holds
            tokens = Tensor(ids[:, seen])
            logits = next_logits(tokens) if counts is None else next_logits(tokens, counts[:, seen])
        scores = given = np.asarray(logits)
        for process in processors:
            scores = process(ids[:, :length], scores)
        if scores.shape != given.shape:
            raise ValueError(f"generate: processors made {scores.shape} of logits {given.shape}; the shape must stay")
        chosen = choose(scores, greedy, generator)
        if stops.size:
            chosen = np.where(ended, fill, chosen)
            ids[:, length] = chosen
            ended |= np.isin(chosen, stops)
        else:
            ids[:, length] = chosen
        yield chosen
        if stops.size and ended.all():
            return


def filler(how: Sampling) -> int:
    """What fills rows that stopped early or started late."""
    if how.pad_token is not None:
        return how.pad_token
    stops = how.stops()
    return int(stops[0]) if stops.size else 0


def generate(next_logits: NextLogits, prompt: Prompt, new: int, how: Sampling) -> Tensor:
    """The prompt followed by the new tokens."""
    columns = list(steps(next_logits, prompt, new, how))
    before = prompt.ids if prompt.counts is None else np.where(prompt.counts, prompt.ids, filler(how))
    rows = np.concatenate([before, *(column[:, None] for column in columns)], axis=1)
    return Tensor(rows[0] if prompt.single else rows)


def stream(next_logits: NextLogits, prompt: Prompt, new: int, how: Sampling) -> Iterator[Any]:
    """The new tokens as they come: ints for a single prompt, arrays (B,) for a batch."""
    for chosen in steps(next_logits, prompt, new, how):
        yield int(chosen[0]) if prompt.single else chosen
