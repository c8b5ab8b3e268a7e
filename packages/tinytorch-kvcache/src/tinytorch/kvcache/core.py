"""`CachedCore`: what replaces the core of an attention, so that it attends to a cache while a step is taken."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from tinytorch.attention import attention
from tinytorch.layers import lower
from tinytorch.tensor import Tensor

from .attention import cached_attention
from .cache import Cache


@dataclass(slots=True)
class Step:
    """A step that a model takes: the cache that it continues, for the attentions that know their layer for `owner`."""

    owner: object  # the session; None for a step that leaves the cache aside
    cache: Cache
    attended: int = 0  # layers
    token: Any = None

    def __enter__(self) -> Step:
        self.token = current_step.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        current_step.reset(self.token)


current_step: ContextVar[Step | None] = ContextVar("current_step", default=None)  # of this thread or task


class CachedCore:
    """The original core of an attention, and in a step of a model with a cache the same over what the cache holds.

    Blocks may be parts of several models with caches; `layers` is the number of the layer by the owner of the step.
    """

    def __init__(self, original: Any) -> None:
        self.original = original
        self.layers: dict[object, int] = {}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Any, causal: bool) -> Any:
        return self._attend(self.original, cached_attention, q, k, v, mask, causal)

    def lower(self) -> Callable[..., Any] | None:
        """The same on arrays, as `tinytorch.layers.lower` asks for it."""
        core = lower(self.original)
        return None if core is None else functools.partial(self._attend, core, cached_attention.lower())

    def _attend(self, core: Any, cached: Any, q: Any, k: Any, v: Any, mask: Any, causal: bool) -> Any:
        step = current_step.get()
        layer = None if step is None else self.layers.get(step.owner)
        if step is None or layer is None:
            return core(q, k, v, mask, causal)
        step.attended += 1
        if self.original is attention:
            return cached(q, k, v, mask, cache=step.cache, layer=layer, causal=causal)
        pair: tuple[Any, Any] = step.cache.update_and_fetch(layer, k, v)  # (B, Hkv, t, Dh) -> (B, Hkv, S, Dh)
        if isinstance(k, Tensor):
            pair = Tensor(pair[0], pair[0].dtype), Tensor(pair[1], pair[1].dtype)
        return core(q, *pair, step.cache.make_mask(q.shape[2], mask), causal)
