"""Functions that do the same work, measured in turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tinytorch.tensor import Array, check_int

from .checks import check_number
from .clock import Clock, WallClock
from .equality import check_equal, flatten
from .machine import Usage, machine, pools
from .memory import peak_memory
from .process import Remote, Worker
from .result import Result, Series

__all__ = ["Benchmark", "compare"]

Function = Callable[[], Any]
MOST_CALLS = 10**7  # of a turn: a call takes some nanoseconds at least


class Local:
    """A function of this process, as something that takes turns."""

    def __init__(self, name: str, function: Function, clock: Clock) -> None:
        self.name, self._function, self._clock = name, function, clock
        self.pools: list[dict[str, Any]] = []

    def first(self) -> Any:
        found = self._function()
        self.pools = pools()
        return found

    def arrays(self, result: Any) -> dict[str, Array]:
        return flatten(result)

    def run(self, count: int) -> float:
        function, start = self._function, self._clock.now()
        for _ in range(count):
            function()
        return self._clock.now() - start

    def peak(self, calls: int) -> int:
        return peak_memory(self._function, calls)

    def close(self) -> None:
        """Nothing is held."""


Side = Local | Remote


@dataclass
class Benchmark:
    """Functions by name, and how they are measured; `run()` measures. The first is what the others are compared with.

    A function takes no arguments. It runs in this process, or, as a `Worker`, in one of its own. Every turn runs each
    function once, in an order that is drawn from `seed`; a turn calls it as often as fits `seconds`. `warmup` turns of
    each are thrown away before, and `rest` seconds lie between two turns (time for another library's threads to fall
    asleep). `peaks` is how often the peak of memory is measured, in `calls` calls each: of a function by tracemalloc,
    of a worker in new processes. With `turns=0` only memory is measured. `items` is how many pieces of work a call does
    (samples, tokens): times are of one.

    With `check`, the results of the first call must be equal: |x - y| <= atol + rtol |y|, numbers, arrays, tensors and
    lists or dicts of them; functions that return None are not checked, which the result notes. `threads` limits BLAS in
    this process.

    Raises ValueError or TypeError for settings and functions that cannot be measured, and what a function raises.

    >>> import numpy as np
    >>> x = np.arange(10_000.0)
    >>> benchmark = Benchmark("sum", {"numpy": x.sum, "python": lambda: sum(x)}, turns=5, seconds=0.01)
    >>> result = benchmark.run()
    >>> result.ratio("python").low > 1, result.baseline
    (True, 'numpy')
    """

    name: str
    functions: Mapping[str, Function | Worker]
    turns: int = 15
    seconds: float = 0.1
    warmup: int = 1
    rest: float = 0.0
    peaks: int = 0
    calls: int = 1
    items: int = 1
    check: bool = True
    rtol: float = 1e-5
    atol: float = 1e-8
    threads: int | None = None
    confidence: float = 0.95
    seed: int = 0
    clock: Clock = field(default_factory=WallClock)

    def __post_init__(self) -> None:
        owner = f"benchmark {self.name!r}"
        if not self.functions:
            raise ValueError(f"{owner}: there is no function to measure; give {{name: function}}")
        for name, function in self.functions.items():
            if not isinstance(name, str) or not name or not name.isprintable():
                raise ValueError(f"{owner}: {name!r} is not a name; a name is text that can be printed")
            if not callable(function) and not isinstance(function, Worker):
                kind = type(function).__name__
                raise TypeError(f"{owner}: {name!r} is a {kind}; give a function without arguments, or a Worker")
            if isinstance(function, Worker) and self.threads is not None:
                raise ValueError(f"{owner}: {name!r} is a Worker, which states its own threads; leave out threads here")
        for what, least in (("turns", 0), ("warmup", 0), ("peaks", 0), ("calls", 1), ("items", 1), ("seed", 0)):
            check_int(owner, what, getattr(self, what), minimum=least)
        if self.threads is not None:
            check_int(owner, "threads", self.threads, minimum=1)
        if self.turns == 1 or self.peaks == 1 or self.turns == self.peaks == 0:
            raise ValueError(
                f"{owner}: turns={self.turns} and peaks={self.peaks}; one of them must be at least 2, and neither 1:\n"
                "from a single measurement nothing follows about the next"
            )
        check_number(owner, "seconds", self.seconds)
        check_number(owner, "confidence", self.confidence, high=1)
        for what in ("rest", "rtol", "atol"):
            check_number(owner, what, getattr(self, what), low=-1e-300)

    def run(self) -> Result:
        """Check that all compute the same, warm up, take turns, and measure memory.

        Raises ResultsDifferError when they do not, WorkerError when a worker's process dies.
        """
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        rng = np.random.default_rng(self.seed)
        times: dict[str, list[float]] = {name: [] for name in self.functions}
        with ExitStack() as stack:
            stack.enter_context(limited(self.threads))
            sides = [stack.enter_context(self._opened(name)) for name in self.functions]
            checked = self._check(sides)
            counts = {side.name: self._warm(side) for side in sides} if self.turns else {}
            usage = Usage([side.pid for side in sides if isinstance(side, Remote)])
            for _ in range(self.turns):
                for index in rng.permutation(len(sides)):
                    side = sides[index]
                    times[side.name].append(side.run(counts[side.name]) / (counts[side.name] * self.items))
                    self.clock.sleep(self.rest)
            described = machine() | {"pools": pools()}
            peaks = self._peaks([side for side in sides if isinstance(side, Local)])
            others = usage.others()
        for name, found in self._peaks_of_workers().items():
            peaks[name] = found
        series = {
            side.name: Series(
                tuple(times[side.name]), counts.get(side.name, 1), tuple(peaks.get(side.name, ())), tuple(side.pools)
            )
            for side in sides
        }
        when = datetime.now(UTC).isoformat(timespec="seconds")
        baseline = next(iter(self.functions))
        settings = self._settings() | {"checked": checked}
        return Result(self.name, baseline, series, settings, described, others, load, when)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Side]:
        function = self.functions[name]
        side: Side = Remote(name, function) if isinstance(function, Worker) else Local(name, function, self.clock)
        try:
            yield side
        finally:
            side.close()

    def _check(self, sides: list[Side]) -> bool:
        """Run every function for the first time and compare what they return; whether nothing was left out."""
        results = [side.first() for side in sides]
        if not self.check or len(sides) == 1:
            return self.check
        found = {side.name: side.arrays(result) for side, result in zip(sides, results, strict=True)}
        names = [name for name, arrays in found.items() if arrays]
        for name in names[1:]:
            check_equal((names[0], name), found[names[0]], found[name], self.rtol, self.atol)
        return len(names) == len(sides)

    def _warm(self, side: Side) -> int:
        """Find out how many calls take about a turn's time, run the turns that are thrown away, return the number."""
        count, took = 1, side.run(1)
        while took < 0.1 * self.seconds and count < MOST_CALLS:
            count = min(10 * count, MOST_CALLS)
            took = side.run(count)
        if took <= 0:
            raise ValueError(
                f"benchmark {self.name!r}: the clock did not move during {count:,} calls of {side.name!r};\n"
                "measure more work at once, or a clock that moves"
            )
        count = max(1, min(round(count * self.seconds / took), MOST_CALLS))
        for _ in range(self.warmup):
            side.run(count)
        return count

    def _peaks(self, sides: list[Local]) -> dict[str, list[int]]:
        return {side.name: [side.peak(self.calls) for _ in range(self.peaks)] for side in sides}

    def _peaks_of_workers(self) -> dict[str, list[int]]:
        """The peaks of workers, in turn, each in a new process: memory that was used once stays resident."""
        workers = [name for name, function in self.functions.items() if isinstance(function, Worker)]
        found: dict[str, list[int]] = {name: [] for name in workers}
        for _ in range(self.peaks):
            for name in workers:
                with self._opened(name) as side:
                    found[name].append(side.peak(self.calls))
        return found

    def _settings(self) -> dict[str, Any]:
        names = (
            "turns", "seconds", "warmup", "rest", "peaks", "calls", "items", "rtol", "atol", "threads", "confidence",
            "seed",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def limited(threads: int | None) -> Any:
    """A context in which BLAS and the like use so many threads, by threadpoolctl; None leaves them as they are."""
    if threads is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(limits=threads)


def compare(functions: Mapping[str, Function | Worker], name: str = "comparison", **settings: Any) -> Result:
    """Measure functions that do the same work, `{name: function}`, in turns; ratios are to the first one.

    `settings` are those of `Benchmark`: turns, seconds, warmup, peaks, rtol, atol, threads and others.
    Raises ResultsDifferError when the functions do not return the same.

    >>> import numpy as np
    >>> x = np.ones((64, 64))
    >>> result = compare({"matmul": lambda: x @ x, "dot": lambda: x.dot(x)}, turns=5, seconds=0.005, threads=1)
    >>> sorted(result.series), len(result.series["dot"].times)
    (['dot', 'matmul'], 5)
    """
    return Benchmark(name, functions, **settings).run()
