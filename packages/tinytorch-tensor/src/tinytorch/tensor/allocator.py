"""Keeping memory that was freed instead of returning it to the operating system after every operation."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def keep_freed_memory(keep: bool = True) -> bool:
    """Let the C library keep freed blocks for the next array, process-wide; returns whether it listened.

    A large array is otherwise mapped from the operating system, cleared page by page on first touch and unmapped
    again at its end, which takes longer than the arithmetic on it. `keep=False` goes back to glibc's own thresholds.
    Where the C library is not glibc, or the environment variable TINYTORCH_KEEP_MEMORY is 0, nothing is changed.

    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    if keep and os.environ.get("TINYTORCH_KEEP_MEMORY") == "0":
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  only glibc has it
    except (OSError, TypeError, AttributeError):
        return False
    # both values lie within what glibc accepts: mmap thresholds above 32 MiB (on 64 bit) are refused by mallopt
    mmap_from, trim_from = (32 * 2**20, 2**31 - 1) if keep else (128 * 2**10, 128 * 2**10)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, mmap_from)) and bool(libc.mallopt(M_TRIM_THRESHOLD, trim_from))
