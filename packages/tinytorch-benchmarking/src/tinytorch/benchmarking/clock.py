"""Clocks: the real one, and one that tests and models of queues move by hand."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SimulatedClock", "WallClock"]


class Clock(Protocol):
    """What measures time and can wait, in seconds."""

    def now(self) -> float:
        """Seconds since some moment that stays the same."""

    def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed."""


class WallClock:
    """The machine's clock of the highest resolution, which never goes back.

    >>> clock = WallClock()
    >>> clock.now() <= clock.now()
    True
    """

    def now(self) -> float:
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class SimulatedClock:
    """A clock that moves only when someone sleeps: an hour passes at once, and every run gives the same figures.

    A system under test that calls `clock.sleep(0.01)` takes 10 milliseconds by this clock.

    >>> clock = SimulatedClock()
    >>> clock.sleep(1.5)
    >>> clock.now()
    1.5
    """

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += max(0.0, seconds)
