"""Beam search: the likeliest sequences instead of the likeliest token each time."""

from __future__ import annotations

import heapq
from contextvars import copy_context
from typing import Any, NamedTuple

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.layers import functional as F
from tinytorch.tensor import Array, Tensor, check_int
from tinytorch.transformer.generation import filler, sampling_for
from tinytorch.transformer.prompts import as_prompt

from .cache import Cache


class Beam(NamedTuple):
    """A sequence that beam search found."""

    score: float  # log_probability / number of new tokens ** length_penalty
    log_probability: float  # of all new tokens, given the prompt
    tokens: Array  # (n,) the new ones


def beam_search(
    model: Any, prompt_tokens: Any, num_beams: int, max_new_tokens: int, length_penalty: float = 1.0, stop: Any = None,
    num_return_sequences: int = 1,
) -> Tensor:  # fmt: skip
    """The prompt and the best sequence that follows it: (T + new,), or (B, T + new) for prompts (B, T).

    Each prompt is searched by itself (`search_beams`). `num_return_sequences` of n above 1 gives the n best of each,
    the best first: (n, T + new) or (B n, T + new). Rows that end early are filled with the first stop token. One beam
    without `stop` is greedy generation. Raises as `search_beams` does, and ValueError for more sequences than beams.

    >>> from tinytorch.transformer import GPT
    >>> model = GPT(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32).eval()
    >>> beam_search(model, [1, 2, 3], num_beams=4, max_new_tokens=5).shape
    (8,)
    """
    n = check_int("beam_search", "num_return_sequences", num_return_sequences, 1)
    if n > check_int("beam_search", "num_beams", num_beams, 1):
        raise ValueError(f"beam_search: num_return_sequences={n} of {num_beams} beams; search with more beams")
    ids, valid, single = as_prompt(prompt_tokens)
    valid = np.ones(ids.shape, bool) if valid is None else valid
    found: list[Array] = []  # what follows each row, several for each prompt
    for row, counts in zip(ids, valid, strict=True):
        beams = search_beams(model, row[counts], num_beams, max_new_tokens, length_penalty, stop)[:n]
        found += [beam.tokens for beam in beams]
    fill = filler(sampling_for(model.config, stop))
    new = np.full((len(found), max(map(len, found))), fill)
    for target, tokens in zip(new, found, strict=True):
        target[: len(tokens)] = tokens
    rows = np.concatenate((np.repeat(np.where(valid, ids, fill), n, axis=0), new), axis=1)
    return Tensor(rows[0] if single and n == 1 else rows)


def search_beams(
    model: Any, prompt: Any, num_beams: int, max_new_tokens: int, length_penalty: float = 1.0, stop: Any = None
) -> list[Beam]:
    """The `num_beams` best sequences that follow one prompt (T,), the best first.

    Of all continuations of the `num_beams` best beginnings the `num_beams` best are kept. A sequence ends with the
    first token that is in `stop`, and sequences are compared by `Beam.score`. With a cache enabled the prompt is
    computed once for all beams, in a copy of the cache. Raises ValueError for fewer than one beam or token.

    Source: Wu et al. 2016, Google's Neural Machine Translation System (arXiv:1609.08144), section 7, with the length
    penalty of Hugging Face transformers.

    >>> from tinytorch.transformer import GPT
    >>> model = GPT(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32).eval()
    >>> [len(beam.tokens) for beam in search_beams(model, [1, 2, 3], num_beams=3, max_new_tokens=5)]
    [5, 5, 5]
    """
    check_int("beam_search", "num_beams", num_beams, 1)
    check_int("beam_search", "max_new_tokens", max_new_tokens, 1)
    ids = as_prompt(prompt).ids
    if len(ids) != 1:
        raise ValueError(f"search_beams: {len(ids)} prompts; give one at a time, or use beam_search")
    session, cache = model.__dict__.get("_kv_session"), None
    if session is not None:
        model, cache = session.fork()
    # A fork and a context of its own: wherever the search ends, nothing has to be put back.
    stops = sampling_for(model.config, stop).stops()
    return copy_context().run(_search, model, cache, ids, num_beams, max_new_tokens, length_penalty, stops)


@no_grad()
def _search(
    model: Any, cache: Cache | None, ids: Array, width: int, new: int, penalty: float, stops: Array
) -> list[Beam]:
    ids, prompt_length = ids.astype(np.int64), ids.shape[1]  # (beams, T); one beam until there is a choice
    totals = np.zeros(1)  # log-probability of each beam
    ended: list[Beam] = []
    for n in range(1, new + 1):
        logits = model.next_logits(ids).data.astype(np.float64)  # (beams, V)
        continued = totals[:, None] + F.log_softmax.lift(logits)
        flat = continued.reshape(-1)
        # each beam has len(stops) continuations that end, so that width others are always among these
        candidates = np.argsort(-flat, kind="stable")[: width * (1 + len(stops))]
        parents, tokens = np.divmod(candidates, continued.shape[1])
        ends = np.isin(tokens, stops) if n < new else np.ones(len(tokens), bool)
        for i in np.flatnonzero(ends[:width]):
            sequence = np.append(ids[parents[i], prompt_length:], tokens[i])
            ended.append(Beam(float(flat[candidates[i]]) / n**penalty, float(flat[candidates[i]]), sequence))
        ended = heapq.nlargest(width, ended, key=lambda beam: beam.score)
        going = np.flatnonzero(~ends)[:width]
        if not going.size:
            break
        totals = flat[candidates[going]]
        longest = n + 1 if penalty <= 0 else new  # the length at which what is still to come can score best
        if len(ended) == width and totals[0] / longest**penalty <= ended[-1].score:
            break
        ids = np.concatenate((ids[parents[going]], tokens[going, None]), axis=1)
        if cache is not None and cache.seq_pos:
            cache.reorder(parents[going])
    return ended
