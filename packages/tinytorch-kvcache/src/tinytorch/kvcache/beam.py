"""Beam search: the likeliest sequences instead of the likeliest token each time."""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.tensor import Array, Tensor
from tinytorch.transformer import Sampling

from .cache import Cache


class Beam(NamedTuple):
    """A sequence that beam search found."""

    score: float  # log_probability / number of new tokens ** length_penalty
    log_probability: float  # of all new tokens, given the prompt
    tokens: Array  # (n,) the new ones


def beam_search(
    model: Any,
    prompt_tokens: Any,
    num_beams: int,
    max_new_tokens: int,
    length_penalty: float = 1.0,
    stop: Any = None,
) -> Tensor:
    """The prompt and the best sequence that follows it: (T + new,), or (B, T + new) for prompts (B, T).

    Of all continuations of the `num_beams` best beginnings the `num_beams` best are kept. A sequence ends with the
    first token that is in `stop`, and is compared by its score (`Beam`). Shorter rows are filled up with the first stop
    token. One beam without `stop` is greedy generation. With a cache, each prompt is computed once for all beams.

    Raises ValueError for a prompt of another shape, and for fewer than one beam or token.

    Source: Wu et al. 2016, Google's Neural Machine Translation System (arXiv:1609.08144), section 7, with the length
    penalty of Hugging Face transformers.

    >>> from tinytorch.transformer import GPT
    >>> model = GPT(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32).eval()
    >>> beam_search(model, [1, 2, 3], num_beams=4, max_new_tokens=5).shape
    (8,)
    """
    prompts = prompt_tokens.data if isinstance(prompt_tokens, Tensor) else np.asarray(prompt_tokens)
    if prompts.ndim not in (1, 2) or prompts.dtype.kind not in "iu" or prompts.size == 0:
        raise ValueError(
            f"beam_search: a prompt of shape {prompts.shape} and dtype {prompts.dtype}; give integers (T,) or (B, T)"
        )
    rows = np.atleast_2d(prompts)
    best = [search(model, row, num_beams, max_new_tokens, length_penalty, stop)[0].tokens for row in rows]
    stops = Sampling(stop=stop).stops()
    new = np.full((len(rows), max(map(len, best))), stops[0] if stops.size else 0)
    for row, tokens in zip(new, best, strict=True):
        row[: len(tokens)] = tokens
    whole = np.concatenate((rows, new), axis=1)
    return Tensor(whole[0] if prompts.ndim == 1 else whole)


def search(
    model: Any, prompt: Array, num_beams: int, max_new_tokens: int, length_penalty: float = 1.0, stop: Any = None
) -> list[Beam]:
    """The `num_beams` best sequences that follow one prompt (T,), the best first."""
    if num_beams < 1 or max_new_tokens < 1:
        raise ValueError(f"beam_search: {num_beams} beams of {max_new_tokens} tokens; there must be at least 1 of each")
    cache: Cache | None = model.__dict__.get("_kv_cache")
    batch_size = 0 if cache is None else cache.batch_size
    try:
        if cache is not None and batch_size != 1:
            cache.reset(1)
        with no_grad():
            return _search(model, cache, prompt, num_beams, max_new_tokens, length_penalty, Sampling(stop=stop).stops())
    finally:
        if cache is not None and cache.batch_size != batch_size:
            cache.reset(batch_size)


def _search(
    model: Any, cache: Cache | None, prompt: Array, width: int, new: int, penalty: float, stops: Array
) -> list[Beam]:
    ids = prompt[None].astype(np.int64)  # (beams, T); one until there is a choice
    totals = np.zeros(1)  # log-probability of each beam
    ended: list[Beam] = []
    for n in range(1, new + 1):
        continued = totals[:, None] + log_softmax(model.next_logits(ids).data)  # (beams, V)
        flat = continued.reshape(-1)
        # each beam has len(stops) continuations that end, so that width others are always among these
        candidates = np.argsort(-flat, kind="stable")[: width * (1 + len(stops))]
        parents, tokens = np.divmod(candidates, continued.shape[1])
        ends = np.isin(tokens, stops) if n < new else np.ones(len(tokens), bool)
        for i in np.flatnonzero(ends[:width]):
            sequence = np.append(ids[parents[i], len(prompt) :], tokens[i])
            ended.append(Beam(float(flat[candidates[i]]) / n**penalty, float(flat[candidates[i]]), sequence))
        ended = heapq.nlargest(width, ended, key=lambda beam: beam.score)
        going = np.flatnonzero(~ends)[:width]
        if not going.size:
            break
        totals = flat[candidates[going]]
        longest = n + 1 if penalty <= 0 else new  # where what is still to come can score best
        if len(ended) == width and totals[0] / longest**penalty <= ended[-1].score:
            break
        ids = np.concatenate((ids[parents[going]], tokens[going, None]), axis=1)
        if cache is not None and cache.seq_pos:
            cache.reorder(parents[going])
    return ended


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
