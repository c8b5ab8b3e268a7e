"""What this machine can do at best: the two lines of its roofline, measured."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np


class Machine(NamedTuple):
    """The best that was seen of NumPy on this machine."""

    peak: float
    """FLOP/s of a float32 matrix product."""
    bandwidth: float
    """Bytes/s between memory and processor, read and written, of a copy."""

    def roof(self, intensity: float) -> float:
        """The most FLOP/s that `intensity` FLOPs per byte allow."""
        return min(self.peak, self.bandwidth * intensity)


def measure_machine(seconds: float = 0.25, n: int = 1024, megabytes: int = 64) -> Machine:
    """Multiply n x n matrices, then copy an array that no cache holds, each again and again for about `seconds`."""
    x, product = np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    source = np.ones(megabytes * 2**17)
    target = np.empty_like(source)
    return Machine(
        peak=2 * n**3 / _best(seconds, lambda: np.matmul(x, x, out=product)),
        bandwidth=2 * source.nbytes / _best(seconds, lambda: np.copyto(target, source)),
    )


def _best(seconds: float, function: Callable[[], Any]) -> float:
    """The shortest time of `function` in seconds; its first run, which finds memory and wakes threads, is not timed."""
    function()
    begin, best = perf_counter_ns(), float("inf")
    while True:
        start = perf_counter_ns()
        function()
        stop = perf_counter_ns()
        best = min(best, (stop - start) / 1e9)
        if stop - begin > seconds * 1e9:
            return best
