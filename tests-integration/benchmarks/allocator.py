"""What keeping freed memory is worth: the same training step with glibc's own thresholds as the peer."""

from __future__ import annotations

from .entry import Entry, Step
from .gpt import SIZES, ours


def kept() -> Step:
    return ours(SIZES["gpt-4x128"][0])


def returned() -> Step:
    from tinytorch.tensor import keep_freed_memory

    step = kept()
    keep_freed_memory(False)
    return step


ENTRIES = [Entry("allocator", kept, returned, "the same, memory returned at once", 1.0)]
