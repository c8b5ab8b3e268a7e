"""Key-value caches: exact, fast incremental generation."""

__version__ = "0.1.0"
