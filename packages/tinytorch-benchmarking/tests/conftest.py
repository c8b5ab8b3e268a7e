"""What several tests use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tinytorch.benchmarking import Benchmark, Result, SimulatedClock

Timed = Callable[..., Callable[[], Any]]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


def taken(clock: SimulatedClock) -> Timed:
    """What makes functions that take known times by `clock`."""

    def made(*seconds: float, result: Any = None) -> Callable[[], Any]:
        calls = 0

        def function() -> Any:
            nonlocal calls
            clock.sleep(seconds[calls % len(seconds)])
            calls += 1
            return result

        return function

    return made


@pytest.fixture
def taking(clock: SimulatedClock) -> Timed:
    """`taking(0.1)` makes a function that takes 0.1 seconds by `clock`; several times are taken in turn."""
    return taken(clock)


@pytest.fixture(scope="session")
def result() -> Result:
    """A small result with times and peaks, of which all figures are known. It cannot be changed, so it is made once."""
    clock = SimulatedClock()
    functions = {"slow": taken(clock)(0.2, 0.3), "fast": taken(clock)(0.1)}
    return Benchmark("example", functions, turns=4, seconds=0.01, peaks=2, clock=clock).run()
