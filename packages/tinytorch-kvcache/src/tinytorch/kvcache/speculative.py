"""Speculative decoding: a small model proposes tokens, the large one verifies several of them in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.tensor import Array, Tensor, check_int
from tinytorch.transformer.generation import filler, sampling_for
from tinytorch.transformer.prompts import as_prompt

from .enable import enable_kv_cache
from .session import Session


@no_grad()
def speculative_generate(
    model: Any, draft: Any, prompt_tokens: Any, max_new_tokens: int, num_draft: int = 4, stop: Any = None
) -> Tensor:
    """What `model.generate(prompt_tokens, max_new_tokens, temperature=0, stop=stop)` gives, in fewer steps of `model`.

    `draft`, a faster model of the same vocabulary, proposes `num_draft` tokens; `model` computes them all at once and
    accepts those that it would have chosen itself, and one more of its own. The rows of a batch go on together, as far
    as all proposals are accepted. Caches are enabled for both models meanwhile, unless they are already.

    Raises ValueError for another vocabulary and for fewer than one token, and as `GPT.generate` does.

    Source: Leviathan, Kalman, Matias 2023, Fast Inference from Transformers via Speculative Decoding
    (arXiv:2211.17192), algorithm 1, for temperature 0.

    >>> from tinytorch.transformer import GPT
    >>> model = GPT(vocab_size=50, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32).eval()
    >>> draft = GPT(vocab_size=50, embed_dim=8, num_layers=1, num_heads=2, max_seq_len=32).eval()
    >>> found = speculative_generate(model, draft, [1, 2, 3], 5)
    >>> bool((found == model.generate([1, 2, 3], 5, temperature=0)).all())
    True
    """
    ids, valid, single = as_prompt(prompt_tokens)
    check_int("speculative_generate", "max_new_tokens", max_new_tokens, 1)
    check_int("speculative_generate", "num_draft", num_draft, 1)
    if model.vocab_size != draft.vocab_size:
        raise ValueError(
            f"speculative_generate: the model has {model.vocab_size} tokens, the draft {draft.vocab_size}; "
            "both must mean the same by a token"
        )
    sampling = sampling_for(model.config, stop)
    rows = Rows(ids.astype(np.int64), valid, max_new_tokens, sampling.stops(), filler(sampling))
    with _session(model, len(ids)) as target, _session(draft, len(ids)):
        while rows.left and not rows.ended.all():
            guesses = propose(draft, rows, min(num_draft, rows.left - 1))  # (B, n)
            rows.accept(verify(target, rows, guesses), guesses)
    mask = rows.mask(rows.ids.shape[1])
    whole = rows.ids if mask is None else np.where(mask, rows.ids, rows.fill)
    return Tensor(whole[0] if single else whole)


class Rows:
    """The tokens of all sequences so far, `ids` (B, T)."""

    def __init__(self, ids: Array, valid: Array | None, new: int, stops: Array, fill: int) -> None:
        self.ids = ids
        self.left = new
        self.stops = stops
        self.fill = fill  # what follows the end of a row
        self.ended = np.zeros(len(ids), bool)
        self._valid = None if valid is None else np.pad(valid, ((0, 0), (0, new)), constant_values=True)

    def mask(self, length: int) -> Array | None:
        """True where one of the first `length` tokens counts, (B, length); None when all do."""
        return None if self._valid is None else self._valid[:, :length]

    def accept(self, chosen: Array, guesses: Array) -> None:
        """Append what the model has chosen, (B, n + 1), up to the first token that was not guessed, (B, n)."""
        for i, column in enumerate(chosen.T):
            tokens = np.where(self.ended, self.fill, column)
            self.ids, self.left = np.append(self.ids, tokens[:, None], axis=1), self.left - 1
            self.ended |= np.isin(tokens, self.stops)
            if self.ended.all() or i == guesses.shape[1] or (tokens != guesses[:, i]).any():
                break


def propose(draft: Any, rows: Rows, n: int) -> Array:
    """The n tokens that the draft chooses after `rows`: (B, n)."""
    ids, known = rows.ids, rows.ids.shape[1]
    for end in range(known, known + n):
        guess = draft.next_logits(ids, rows.mask(end)).data.argmax(axis=-1)
        ids = np.append(ids, np.where(rows.ended, rows.fill, guess)[:, None], axis=1)  # (B, end) -> (B, end + 1)
    return ids[:, known:]


def verify(target: Session, rows: Rows, guesses: Array) -> Array:
    """What the model chooses after `rows` and after each of the guesses, computed in one step: (B, n) -> (B, n + 1)."""
    known = rows.ids.shape[1]
    last = np.append(rows.ids[:, -1:], guesses, axis=1)  # (B, n + 1)
    with target.cache.lock:
        if target.resume(rows.ids, rows.mask(known)) < known - 1:  # the prompt, or what a window has dropped
            target.model.next_logits(rows.ids[:, :-1], rows.mask(known - 1))
        logits = target.model(last, rows.mask(known + guesses.shape[1]))  # (B, n + 1, V)
    return logits.data.argmax(axis=-1)


@contextmanager
def _session(model: Any, batch_size: int) -> Iterator[Session]:
    """The model's session, or one for the time being."""
    enabled = "_kv_session" in model.__dict__
    if not enabled:
        enable_kv_cache(model, batch_size=batch_size)
    session: Session = model._kv_session
    session.weights.suspect = True
    try:
        yield session
    finally:
        session.weights.suspect = True
        if not enabled:
            session.unplug()
