"""What a benchmark is: the same work on two sides, each made by a function that imports what it needs.

`tinytorch.benchmarking` measures it, each side in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinytorch.benchmarking import Benchmark, Estimate, Result, Worker

Step = Callable[[], object]
"""One run of the work. What it returns is compared between the sides: a number, an array, or None."""

TURN = 0.25  # seconds of work in a turn
REST = 0.05  # seconds for the other side's threads to fall asleep
RUNS = 3  # of a side whose memory is measured
STEPS = 4  # of such a run


@dataclass(frozen=True)
class Entry:
    """`ours` and `peer` prepare the work and return one step of it; `target` is the ratio of times to stay below.

    With `difference` the figure is the difference of the two times in microseconds, and so is the target. With
    `memory` it is the ratio of what the first steps add to the peak of the process, in bytes.
    """

    name: str
    ours: Callable[[], Step]
    peer: Callable[[], Step]
    peer_name: str
    target: float
    worst: float | None = None  # where a range was allowed, its end
    difference: bool = False
    memory: bool = False
    calls: int = 1  # how many calls a step makes: times are of one
    tolerance: float = 1e-3
    threads: int = 2

    def benchmark(self, turns: int) -> Benchmark:
        """How it is measured. Ratios are to the first side, so the peer comes first."""
        target = "benchmarks.catalogue:step"
        sides = {side: Worker(target, (self.name, side), self.threads) for side in ("peer", "ours")}
        turns, peaks = (0, RUNS) if self.memory else (turns, 0)
        return Benchmark(
            self.name, sides, turns=turns, seconds=TURN, rest=REST, peaks=peaks, calls=STEPS, items=self.calls,
            rtol=self.tolerance, atol=self.tolerance,
        )  # fmt: skip

    def figure(self, result: Result) -> Estimate:
        """Our share of the peer's time or memory, or how many microseconds we take more, with its interval."""
        if self.difference:
            return Estimate(*(1e6 * each for each in result.difference("ours")))
        return result.ratio("ours", "memory" if self.memory else "time")

    @property
    def unit(self) -> str:
        return "us more" if self.difference else "of its memory" if self.memory else "of its time"

    def verdict(self, figure: float) -> str:
        limit = self.target if self.worst is None else self.worst
        return "met" if figure <= self.target else "within the worst" if figure <= limit else "missed"
