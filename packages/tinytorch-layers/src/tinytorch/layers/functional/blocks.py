"""Working through large arrays in pieces that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK = 2**16
"""Numbers in a block: a few of this size fit a 1 MiB cache in float32, and a call costs little beside its work."""


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices that together cover `rows` rows of `width` numbers, each of about `BLOCK` numbers and at least one row.

    >>> list(row_blocks(5, 2**15))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, BLOCK // max(1, width))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
