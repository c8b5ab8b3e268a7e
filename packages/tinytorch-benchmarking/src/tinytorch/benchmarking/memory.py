"""The most memory that a function needs while it runs."""

from __future__ import annotations

import gc
import platform
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinytorch.tensor import check_int

__all__ = ["peak_memory"]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(function: Callable[[], Any], calls: int = 1) -> int:
    """The most bytes that Python and NumPy held at once during `calls` of `function`, beyond those before.

    Every allocation is followed, by tracemalloc, which slows the function down and gives the same figure each time.
    What other libraries allocate is not seen; `Worker` measures what a whole process occupies.

    >>> import numpy as np
    >>> 8_000_000 <= peak_memory(lambda: np.ones(1_000_000).sum()) < 8_100_000
    True
    """
    check_int("peak_memory", "calls", calls, minimum=1)
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        gc.collect()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(calls):
            function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()


def resident_peak(function: Callable[[], Any], calls: int) -> int:
    """The most bytes of this process that were resident during `calls` of `function`, beyond those before: proc(5).

    Raises NotImplementedError where the system is not Linux.
    """
    if platform.system() != "Linux":
        raise NotImplementedError(
            f"Worker: the peak of a process is read from /proc, which {platform.system()} does not have;\n"
            "pass functions instead of workers, whose allocations are followed by tracemalloc"
        )
    gc.collect()
    CLEAR.write_text("5")  # sets the peak to what is resident now
    before = _resident("VmRSS")
    for _ in range(calls):
        function()
    return max(0, _resident("VmHWM") - before)


def _resident(what: str) -> int:
    """VmRSS, the memory that is resident now, or VmHWM, the most that ever was; in bytes."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))
