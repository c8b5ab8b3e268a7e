"""Speculative decoding: a small model guesses, the large one checks several guesses in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.tensor import Array, Tensor
from tinytorch.transformer import Sampling

from .cache import Cache
from .enable import disable_kv_cache, enable_kv_cache


@no_grad()
def speculative_generate(
    model: Any, draft: Any, prompt_tokens: Any, max_new_tokens: int, num_draft: int = 4, stop: Any = None
) -> Tensor:
    """What `model.generate(prompt_tokens, max_new_tokens, temperature=0, stop=stop)` gives, in fewer steps of `model`.

    `draft`, a faster model of the same vocabulary, proposes `num_draft` tokens; `model` computes them all at once and
    takes those that it would have chosen itself, and one more of its own. Rows (B, T) go on together, as far as all of
    them agree. Caches are enabled for both models meanwhile, unless they are already.

    Raises ValueError for a prompt of another shape, another vocabulary, and fewer than one token.

    Source: Leviathan, Kalman, Matias 2023, Fast Inference from Transformers via Speculative Decoding
    (arXiv:2211.17192), for temperature 0.

    >>> from tinytorch.transformer import GPT
    >>> model = GPT(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32).eval()
    >>> draft = GPT(vocab_size=50, embed_dim=8, num_layers=1, num_heads=2, max_seq_len=32).eval()
    >>> found = speculative_generate(model, draft, [1, 2, 3], 5)
    >>> bool((found == model.generate([1, 2, 3], 5, temperature=0)).all())
    True
    """
    prompt = prompt_tokens.data if isinstance(prompt_tokens, Tensor) else np.asarray(prompt_tokens)
    if prompt.ndim not in (1, 2) or prompt.dtype.kind not in "iu" or prompt.size == 0:
        raise ValueError(
            f"speculative_generate: a prompt of shape {prompt.shape} and dtype {prompt.dtype}; "
            "give integers (T,) or (B, T)"
        )
    if max_new_tokens < 1 or num_draft < 1:
        raise ValueError(
            f"speculative_generate: {max_new_tokens} new tokens, {num_draft} at a time; give at least 1 of each"
        )
    if model.vocab_size != draft.vocab_size:
        raise ValueError(
            f"speculative_generate: the model has {model.vocab_size} tokens, the draft {draft.vocab_size}; "
            "both must mean the same by a token"
        )
    how = Sampling(stop=stop)
    stops = how.stops()
    fill = int(stops[0]) if stops.size else 0
    ids = np.atleast_2d(prompt).astype(np.int64)
    goal = ids.shape[1] + max_new_tokens
    ended = np.zeros(len(ids), bool)
    with _cached(model, len(ids)) as cache, _cached(draft, len(ids)):
        if ids.shape[1] > 1:
            model.next_logits(ids[:, :-1])
        while ids.shape[1] < goal and not (stops.size and ended.all()):
            known = ids.shape[1]
            guesses = min(num_draft, goal - known - 1)
            proposal = ids
            for _ in range(guesses):
                guess = draft.next_logits(proposal).data.argmax(axis=-1)
                proposal = np.concatenate((proposal, np.where(ended, fill, guess)[:, None]), axis=1)
            logits = model(proposal[:, known - 1 :]).data  # (B, guesses + 1, V)
            ids = _accepted(ids, logits.argmax(axis=-1), proposal[:, known:], ended, stops, fill)
            cache.truncate(ids.shape[1] - 1)
    return Tensor(ids[0] if prompt.ndim == 1 else ids)


def _accepted(ids: Array, chosen: Array, guessed: Array, ended: Array, stops: Array, fill: int) -> Array:
    """`ids` and the tokens that the model has chosen, up to the first guess that was wrong; notes which rows end."""
    columns = [ids]
    for i, column in enumerate(chosen.T):
        tokens = np.where(ended, fill, column)
        columns.append(tokens[:, None])
        ended |= np.isin(tokens, stops)
        if i == guessed.shape[1] or (tokens != guessed[:, i]).any() or (stops.size and ended.all()):
            break
    return np.concatenate(columns, axis=1)


@contextmanager
def _cached(model: Any, batch_size: int) -> Iterator[Cache]:
    """The model's cache, or one for the time being."""
    cache: Cache | None = model.__dict__.get("_kv_cache")
    if cache is not None:
        yield cache
        return
    try:
        yield enable_kv_cache(model, batch_size=batch_size)
    finally:
        disable_kv_cache(model)
