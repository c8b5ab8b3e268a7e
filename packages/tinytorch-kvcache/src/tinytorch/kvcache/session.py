"""`Session`: a model that takes tokens as the continuation of what its cache holds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinytorch.attention import MultiHeadAttention
from tinytorch.autograd import is_grad_enabled
from tinytorch.layers import Module, changes
from tinytorch.tensor import Array, Tensor
from tinytorch.tensor.errors import ShapeError
from tinytorch.tensor.tensor import wrap
from tinytorch.transformer.tokens import as_tokens

from .cache import PADDED, Cache
from .core import CachedCore, Step, current_step
from .errors import CacheError, StaleCacheError
from .fast_step import lower_next_logits, observed
from .preallocated import KVCache
from .staleness import WeightTracker


class Request(NamedTuple):
    """What a cache was made for that the user did not make: it may be made to fit."""

    batch_size: int
    max_seq_len: int | None  # None: the model's, and more when it goes beyond


@dataclass(eq=False)
class Session:
    """A model, its cache, and what replaces the model's `forward`, `next_logits`, `generate` and `stream` meanwhile."""

    model: Any
    attentions: list[MultiHeadAttention]
    cache: Cache
    request: Request | None  # None for a cache that the user made
    prefill_chunk: int | None
    enabled: bool = False

    def __post_init__(self) -> None:
        self.owner: object = self  # by which the attentions know their layers
        self.weights = WeightTracker(self.model)
        self._replaced: dict[str, tuple[Any, dict[str, Any]]] = {}  # what stands there, and what stood there before
        self._fast_step: Callable[..., Array] | None = None
        self._changes = -1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_fast_step": None, "_changes": -1}  # a copy of the model makes its own

    # Switching on and off

    def plug_in(self) -> None:
        """Replace what the model does."""
        names = [name for name in ("forward", "next_logits", "generate", "stream") if hasattr(self.model, name)]
        self._replace({name: getattr(self, name) for name in names})
        self._replace({"_kv_cache": self.cache, "_kv_session": self, "_cache_enabled": True})
        for layer, attention in enumerate(self.attentions):
            if not isinstance(attention.core, CachedCore):
                attention.core = CachedCore(attention.core)
            attention.core.layers[self] = layer

    def unplug(self) -> None:
        """Put everything back in the instances' own dictionaries, except what was set again since."""
        self.enabled = False
        self._undo(self.model)
        for attention in self.attentions:
            core = attention.core
            if isinstance(core, CachedCore):
                core.layers.pop(self, None)
                if not core.layers:
                    attention.core = core.original

    def fork(self) -> tuple[Any, Cache]:
        """The model with a copy of its cache, for one sequence: nothing has to be put back afterwards."""
        session = copy.copy(self)
        with self.cache.lock:
            session.cache = self.cache.copy()
        session.model, session.weights, session._replaced = self._without(), WeightTracker(self.model), {}
        if session.cache.batch_size != 1:
            session.cache.reset(1)
        session._replace({"forward": session.forward, "next_logits": session.next_logits})
        return session.model, session.cache

    def _replace(self, values: dict[str, Any]) -> None:
        attributes = self.model.__dict__
        for name, value in values.items():
            self._replaced[name] = value, {name: attributes[name]} if name in attributes else {}
            attributes[name] = value
        self.enabled = True

    def _undo(self, model: Any) -> Any:
        """Put back what was replaced, unless it has been set again since."""
        attributes = model.__dict__
        for name, (value, before) in self._replaced.items():
            if attributes.get(name) is value:
                attributes.update(before) if before else attributes.pop(name)
        return model

    def _without(self) -> Any:
        """The model as it would be without this session: its parts under a shallow copy of the whole."""
        return self._undo(copy.copy(self.model))

    def _original(self, name: str) -> Callable[..., Any]:
        """A method of the model as it would be without this session."""
        before: dict[str, Any] = self._replaced[name][1]
        return before[name] if before else getattr(type(self.model), name).__get__(self.model)

    # What the model does meanwhile

    def forward(self, tokens: Any, mask: Any = None, positions: Any = None, **options: Any) -> Any:
        """Logits of `tokens` (B, t) as the continuation of what the cache holds; then it holds them too.

        `mask`, (B, t) or (B, seq_pos + t), is 1 where a token counts. While gradients are recorded this is the model's
        own forward, and the cache is left alone. Raises CacheError when the cache holds another number of sequences,
        CacheFullError and StaleCacheError; then nothing has changed.
        """
        step = current_step.get()
        if not self.enabled or self._recording() or (step is not None and step.owner is None):
            self.weights.suspect = True
            return self._original("forward")(tokens, mask, positions, **options)
        ids = as_tokens("model", tokens).astype(np.int64, copy=False)
        with self.cache.lock:
            return self._continue(ids, mask, positions, options)

    def next_logits(self, tokens: Any, mask: Any = None) -> Any:
        """Logits (B, V) of what follows each row of `tokens` (B, T), computing only what the cache does not hold."""
        if not self.enabled or self._recording() or self._drops():
            return self._uncached(tokens, mask)
        ids = as_tokens("model", tokens).astype(np.int64, copy=False)
        with self.cache.lock:
            valid = None if mask is None or np.all(mask) else np.asarray(mask).astype(bool)
            start = self.resume(ids, valid)
            if start == ids.shape[1] - 1 and self._fast_step is not None and not observed():
                return self._one_more(self._fast_step, ids, valid)
            return self._prefill(ids, valid, start)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own `generate`, with a full look at the weights at the start, and no other thread in between."""
        with self.cache.lock:
            self.weights.suspect, self.weights.sampling = True, False
            try:
                return self._original("generate")(*args, **kwargs)
            finally:
                self.weights.suspect = self.weights.sampling = True

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """The model's own `stream`, with a full look at the weights at the start."""
        return self._run(self._original("stream")(*args, **kwargs))

    def _run(self, steps: Iterator[Any]) -> Iterator[Any]:
        self.weights.suspect = True
        try:
            yield from steps  # without the lock: the next token may be asked for by another thread, or never
        finally:
            self.weights.suspect = True

    # The steps

    def _continue(self, ids: Array, mask: Any, positions: Any, options: dict[str, Any]) -> Any:
        cache, start = self.cache, self.cache.seq_pos
        fingerprint = self._fingerprint()
        if start and cache.fingerprint not in (None, fingerprint):
            raise StaleCacheError(
                f"model: the weights are not those that the cache was filled with, {start} positions; "
                "call cache.reset() and give the tokens from the beginning"
            )
        self._fit(ids, start + ids.shape[-1], from_start=not start)
        cache.fingerprint = fingerprint
        held = ids
        if mask is not None or PADDED in cache.tokens:
            mask = self._whole_mask(mask, ids)  # (B, t) -> (B, seq_pos + t)
            held = np.where(mask[:, start:], ids, PADDED)
        elif positions is None:
            positions = np.arange(start, start + ids.shape[1])
        with Step(self.owner, cache) as step:
            logits = self._original("forward")(ids, mask, positions, **options)
        self._finish(step, held)
        return logits

    def _finish(self, step: Step, held: Array) -> None:
        """Let the cache hold the new tokens, if every layer has written them."""
        if step.attended != self.cache.num_layers:
            raise CacheError(
                f"model: attention was called {step.attended} times for {self.cache.num_layers} layers; "
                "call model.eval() if dropout is active, disable and enable the cache if modules were replaced"
            )
        self.cache.advance(held.shape[1], held)

    def _uncached(self, tokens: Any, mask: Any) -> Any:
        with Step(None, self.cache):
            return self._original("next_logits")(tokens, mask)

    def _one_more(self, step: Callable[..., Array], ids: Array, valid: Array | None) -> Tensor:
        """The last token alone, where the cache holds all others."""
        positions = np.array([self.cache.seq_pos]) if valid is None else None
        with Step(self.owner, self.cache) as taken:
            logits = step(ids[:, -1:], valid, positions, True)[:, 0]  # (B, 1) -> (B, 1, V) -> (B, V)
        self._finish(taken, ids[:, -1:] if valid is None else np.where(valid[:, -1:], ids[:, -1:], PADDED))
        return wrap(logits)

    def _prefill(self, ids: Array, valid: Array | None, start: int) -> Any:
        """The tokens from `start` on, all at once or `prefill_chunk` at a time."""
        end = ids.shape[1]
        chunk = self.prefill_chunk or end
        for stop in range(start + chunk, end, chunk):
            self.model(ids[:, start:stop], None if valid is None else valid[:, :stop], last_only=True)
            start = stop
        return self._original("next_logits")(ids[:, start:], valid)

    def resume(self, ids: Array, valid: Array | None) -> int:
        """Let the cache hold no more than all tokens but the last, for the weights as they are; how many it holds."""
        cache = self.cache
        fingerprint = self._fingerprint()
        if cache.fingerprint not in (None, fingerprint):
            cache.reset()
        self._fit(ids, ids.shape[-1], from_start=True)
        cache.fingerprint = fingerprint
        return cache.resume((ids if valid is None else np.where(valid, ids, PADDED))[:, :-1])

    # What they ask first

    def _recording(self) -> bool:
        return is_grad_enabled() and any(parameter.requires_grad for parameter in self.model.parameters())

    def _drops(self) -> bool:
        return self.model.training and any(a.training and a.dropout for a in self.attentions)

    def _fingerprint(self) -> str:
        if (count := changes()) != self._changes:
            self._fast_step = lower_next_logits(self._without())
            self._changes = count
            self.weights.suspect = True
        if self.cache.fingerprint is None:  # the cache begins, and is marked with what is found
            self.weights.suspect = True
        return self.weights.fingerprint()

    def _fit(self, ids: Array, end: int, from_start: bool) -> None:
        """Make sure that the cache fits the batch, or make it fit, up to `end`, if it was made for the model."""
        cache, request = self.cache, self.request
        if len(ids) != cache.batch_size:
            if request is None or not from_start:
                raise CacheError(
                    f"model: {len(ids)} sequences, and the cache is for {cache.batch_size}; "
                    f"reset(batch_size={len(ids)}) it, or let enable_kv_cache(model) make one"
                )
            cache.reset(len(ids))
        if request is None or not isinstance(cache, KVCache):
            return
        if not cache.seq_pos and (dtype := common_dtype(self.model)) != cache.dtype:
            cache.resize(cache.max_seq_len, dtype)
        if request.max_seq_len is None and end > cache.max_seq_len:
            cache.resize(max(end, 2 * cache.max_seq_len))  # positions that are not learned go on

    def _whole_mask(self, mask: Any, ids: Array) -> Array:
        """The mask over all positions, (B, seq_pos + t), from one over the new ones, or over all, or none."""
        start, shape = self.cache.seq_pos, ids.shape
        valid = np.ones(shape, bool) if mask is None else np.asarray(mask)
        if valid.shape == (shape[0], start + shape[1]):
            valid = valid[:, start:]
        if valid.shape != shape or valid.dtype.kind not in "biu":
            raise ShapeError(
                f"model: a mask of shape {valid.shape} and dtype {valid.dtype} for tokens of shape {shape}; "
                f"it is {shape}, 1 or true where a token counts, or {(shape[0], start + shape[1])} with those before"
            )
        return np.concatenate((self.cache.tokens != PADDED, valid.astype(bool)), axis=1)


def common_dtype(model: Module) -> np.dtype[Any]:
    """The dtype that holds what a model of mixed dtypes computes."""
    return np.result_type(*{weight.dtype for weight in model.parameters() if weight.dtype.kind == "f"})
