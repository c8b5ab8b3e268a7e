"""Stage 11: what attention computed for earlier tokens is kept, so that the next token costs one step."""

from .attention import cached_attention
from .beam import Beam, beam_search, search_beams
from .cache import PADDED, UNKNOWN, Cache
from .enable import disable_kv_cache, enable_kv_cache
from .errors import CacheError, CacheFullError, StaleCacheError
from .growing import GrowingCache
from .int8 import Int8Cache, quantize
from .paged import BlockPool, PagedCache
from .preallocated import KVCache
from .speculative import speculative_generate
from .window import SlidingWindowCache

__version__ = "0.3.0"

__all__ = [
    "PADDED", "UNKNOWN", "Beam", "BlockPool", "Cache", "CacheError", "CacheFullError", "GrowingCache", "Int8Cache",
    "KVCache", "PagedCache", "SlidingWindowCache", "StaleCacheError", "beam_search", "cached_attention",
    "disable_kv_cache", "enable_kv_cache", "quantize", "search_beams", "speculative_generate",
]  # fmt: skip
