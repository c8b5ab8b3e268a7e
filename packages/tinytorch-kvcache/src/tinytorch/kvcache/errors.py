"""Errors of caches that callers may want to catch."""

from __future__ import annotations

from tinytorch.tensor.errors import TinyTorchError


class CacheError(TinyTorchError, ValueError):
    """A step does not fit what the cache holds; the errors below are of this kind."""


class CacheFullError(CacheError):
    """No room is left in the cache or in its pool; nothing was written."""


class StaleCacheError(CacheError):
    """The model's weights are not those that filled the cache."""
