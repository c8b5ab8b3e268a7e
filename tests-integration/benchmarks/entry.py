"""What a benchmark is: the same work on two sides, each made by a function that imports what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Step = Callable[[], object]
"""One run of the work. What it returns is compared between the sides: a number, an array, or None."""


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
