"""`Session`: a model that takes tokens as the continuation of what its cache holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.attention import MultiHeadAttention, attention
from tinytorch.autograd import is_grad_enabled
from tinytorch.autograd.recording import recorder
from tinytorch.layers import Module, changes
from tinytorch.tensor import Array, Tensor, handlers

from .attention import cached_attention
from .cache import PADDED, Cache
from .preallocated import KVCache
from .straight import Step, straight
from .weights import Watch

RECORDER = (recorder,)


class CachedCore:
    """What stands in the place of an attention's `core`: while the session takes a step, it attends to the cache."""

    __slots__ = ("layer", "original", "session")

    def __init__(self, session: Session, layer: int, original: Any) -> None:
        self.session = session
        self.layer = layer
        self.original = original

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Any, causal: bool) -> Tensor:
        session = self.session
        if not session.stepping:
            out: Tensor = self.original(q, k, v, mask, causal)
            return out
        session.attended += 1
        if self.original is attention:
            return cached_attention(q, k, v, mask, cache=session.cache, layer=self.layer, causal=causal)
        session.cache.update(self.layer, k, v)
        keys, values = session.cache.view(self.layer, q.shape[2])
        out = self.original(q, Tensor(keys, keys.dtype), Tensor(values, values.dtype), mask, causal)
        return out


class Session:
    """A model, its cache, and what stands in the place of the model's `forward` and `next_logits` meanwhile."""

    def __init__(
        self,
        model: Any,
        attentions: list[MultiHeadAttention],
        cache: Cache,
        wanted: tuple[int, int | None] | None,
        prefill_chunk: int | None,
    ) -> None:
        self.model = model
        self.attentions = attentions
        self.cache = cache
        self.wanted = wanted  # batch_size and max_seq_len of a cache made for the model; None for one that was given
        self.prefill_chunk = prefill_chunk
        self.original_forward = model.forward
        self.original_next_logits = model.next_logits
        self.stepping = False
        self.aside = False  # whether the model is asked as if there were no cache
        self.attended = 0  # layers, in this step
        self.watch = Watch(model)
        self._step: Step | None = None
        self._made_at = -1
        self._before: list[tuple[Module, str, bool, Any]] = []  # under which name something stood, and what

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_step": None, "_made_at": -1}  # a copy of the model makes a step of its own

    def plug_in(self) -> None:
        """Stand in the place of what the model did."""
        for name, value in {
            "forward": self.forward,
            "next_logits": self.next_logits,
            "_kv_cache": self.cache,
            "_kv_session": self,
            "_cache_enabled": True,
        }.items():
            self._put(self.model, name, value)
        for layer, module in enumerate(self.attentions):
            self._put(module, "core", CachedCore(self, layer, module.core))

    def unplug(self) -> None:
        """Put everything back, in the instances' own dictionaries."""
        while self._before:
            module, name, was_there, value = self._before.pop()
            if was_there:
                module.__dict__[name] = value
            else:
                module.__dict__.pop(name, None)

    def _put(self, module: Module, name: str, value: Any) -> None:
        attributes = module.__dict__
        self._before.append((module, name, name in attributes, attributes.get(name)))
        attributes[name] = value

    def forward(self, tokens: Any, mask: Any = None, positions: Any = None, **options: Any) -> Tensor:
        """Logits of `tokens` (B, t) as the continuation of what the cache holds; then it holds them too.

        `mask`, (B, t) or (B, seq_pos + t), is 1 where a token counts. While gradients are recorded this is the model's
        own forward, and the cache is left alone. Raises ValueError when the cache has no room, holds another number of
        sequences, or was filled with other weights; then nothing has changed.
        """
        if self.aside or self._recording():
            self.watch.suspect = True
            logits: Tensor = self.original_forward(tokens, mask, positions, **options)
            return logits
        ids = tokens.data if isinstance(tokens, Tensor) else np.asarray(tokens)
        cache, start = self.cache, self.cache.seq_pos
        self._fit(ids, start + ids.shape[-1])
        if not self.watch.same():
            if start:
                raise ValueError(
                    f"model: the weights have changed since the cache was filled with {start} positions; "
                    "call cache.reset() and give the tokens from the beginning"
                )
            self._forget()
        known = ids
        if mask is not None or cache.padded:
            mask = self._counts(mask, ids)
            known = np.where(mask[:, start:], ids, PADDED)
        elif positions is None:
            positions = np.arange(start, start + ids.shape[1])
        self.attended, self.stepping = 0, True
        try:
            logits = self.original_forward(ids, mask, positions, **options)
        finally:
            self.stepping = False
        if self.attended != cache.num_layers:
            raise ValueError(
                f"model: attention was called {self.attended} times for {cache.num_layers} layers; "
                "call model.eval() if dropout is active, disable and enable the cache if modules were replaced"
            )
        cache.advance(ids.shape[1], known)
        return logits

    def next_logits(self, tokens: Any, mask: Any = None) -> Tensor:
        """Logits (B, V) of what follows each row of `tokens` (B, T), computing only what the cache does not hold."""
        if self._recording() or (self.model.training and any(a.training and a.dropout for a in self.attentions)):
            self.aside = True
            try:
                logits: Tensor = self.original_next_logits(tokens, mask)
            finally:
                self.aside = False
            return logits
        ids = tokens.data if isinstance(tokens, Tensor) else np.asarray(tokens)
        cache, end = self.cache, ids.shape[-1]
        self._fit(ids, end, anew=True)
        if mask is not None:
            mask = np.asarray(mask).astype(bool)
            mask = None if mask.all() else mask
        before = cache.seq_pos
        known = ids if mask is None else np.where(mask, ids, PADDED)
        start = cache.resume(known[:, :-1])
        goes_on = start == before == end - 1
        if not self.watch.same(thorough=not goes_on):
            self._forget()
            start = 0
        elif goes_on and (step := self._straight()) is not None:
            scores = step(ids[:, start], mask)
            if scores is not None:
                cache.advance(1, known[:, start:])
                return Tensor(scores, scores.dtype)
        chunk = self.prefill_chunk or end
        while start < end:
            stop = min(start + chunk, end)
            part = None if mask is None else mask[:, :stop]
            logits = self.model(ids[:, start:stop], part, last_only=True)
            start = stop
        return logits[:, -1]

    def _straight(self) -> Step | None:
        """The model as a function of one token, unless somebody watches; made anew when a module has changed."""
        if self._made_at != changes():
            self._step, self._made_at = straight(self.model, self.attentions, self.cache), changes()
        return self._step if handlers() == RECORDER else None

    def _recording(self) -> bool:
        return is_grad_enabled() and any(parameter.requires_grad for parameter in self.model.parameters())

    def _forget(self) -> None:
        self.cache.forget()
        self.watch.accept()

    def _fit(self, ids: Array, end: int, anew: bool = False) -> None:
        """Make sure that the cache fits the batch; one that was made for the model is made to fit, up to `end`."""
        cache = self.cache
        if ids.ndim != 2:
            raise ValueError(f"model: tokens of shape {ids.shape}; the form is (B, T) with at least one token each")
        if len(ids) != cache.batch_size:
            if self.wanted is None or (cache.seq_pos and not anew):
                raise ValueError(
                    f"model: {len(ids)} sequences, and the cache is for {cache.batch_size}; "
                    f"reset(batch_size={len(ids)}) it, or let enable_kv_cache(model) make one"
                )
            cache.reset(len(ids))
        if (
            self.wanted is not None
            and self.wanted[1] is None
            and isinstance(cache, KVCache)
            and end > cache.max_seq_len
        ):
            cache.resize(max(end, 2 * cache.max_seq_len))  # positions that are not learned go on

    def _counts(self, mask: Any, ids: Array) -> Array:
        """The mask over all positions, (B, seq_pos + t), from one over the new ones, or over all, or none."""
        start, shape = self.cache.seq_pos, ids.shape
        counts = np.ones(shape, bool) if mask is None else np.asarray(mask)
        if counts.shape == (shape[0], start + shape[1]):
            counts = counts[:, start:]
        if counts.shape != shape or counts.dtype.kind not in "biu":
            raise ValueError(
                f"model: a mask of shape {counts.shape} and dtype {counts.dtype} for tokens of shape {shape}; "
                f"it is {shape}, 1 or true where a token counts, or {(shape[0], start + shape[1])} with those before"
            )
        return np.concatenate((self.cache.tokens != PADDED, counts.astype(bool)), axis=1)
