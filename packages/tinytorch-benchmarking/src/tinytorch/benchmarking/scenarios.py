"""The four ways in which a model is asked: MLPerf Inference's scenarios.

Source: Reddi et al. 2020, MLPerf inference benchmark, section III; the rules of MLPerf Inference. They demand longer
runs than the defaults here: state `queries` and `seconds` as large as you can wait for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tinytorch.tensor import check_int

from .checks import check_number
from .clock import Clock, WallClock
from .estimates import Numbers
from .machine import Usage, machine
from .served import ScenarioResult

__all__ = ["highest_rate", "multiple_stream", "offline", "server", "single_stream"]

System = Callable[[list[Any]], Any]
"""What is measured: it takes a list of samples and returns as many results."""


def single_stream(
    system: System,
    samples: Sequence[Any],
    *,
    queries: int = 100,
    seconds: float = 0.0,
    share: float = 0.9,
    seed: int = 0,
    name: str = "single stream",
    clock: Clock | None = None,
) -> ScenarioResult:
    """One query of one sample at a time, the next as soon as the one before is answered: somebody waits for each.

    `system(batch)` takes a list of samples and returns one result for each. Samples are drawn with replacement; at
    least `queries` of them are asked, for at least `seconds`. The figure is the latency that a `share` of 0.9 does not
    exceed. Raises ValueError for no samples, and when the system returns another number of results.

    >>> from tinytorch.benchmarking import SimulatedClock
    >>> clock = SimulatedClock()
    >>> def system(batch):
    ...     clock.sleep(0.25)
    ...     return batch
    >>> single_stream(system, ["a", "b"], clock=clock).figure
    0.25
    """
    run = _Run("single stream", system, samples, seed, clock)
    latencies = run.closed(1, queries, seconds)
    return run.result(name, latencies, len(latencies), share=share, queries=queries, seconds=seconds)


def multiple_stream(
    system: System,
    samples: Sequence[Any],
    *,
    streams: int = 8,
    queries: int = 100,
    seconds: float = 0.0,
    share: float = 0.99,
    seed: int = 0,
    name: str = "multiple stream",
    clock: Clock | None = None,
) -> ScenarioResult:
    """Queries of `streams` samples each (one from every camera), the next as soon as the one before is answered.

    The figure is the latency of a whole query that a `share` of 0.99 does not exceed; the rest as `single_stream`.
    """
    check_int("multiple_stream", "streams", streams, minimum=1)
    run = _Run("multiple stream", system, samples, seed, clock)
    latencies = run.closed(streams, queries, seconds)
    settings = {"share": share, "queries": queries, "seconds": seconds, "streams": streams}
    return run.result(name, latencies, len(latencies) * streams, **settings)


def server(
    system: System,
    samples: Sequence[Any],
    *,
    rate: float,
    bound: float,
    queries: int = 500,
    share: float = 0.99,
    batch: int = 1,
    seed: int = 0,
    name: str = "server",
    clock: Clock | None = None,
) -> ScenarioResult:
    """Queries of one sample that arrive by themselves, `rate` of them per second on average, at random (Poisson).

    The system takes those that wait, in the order of their arrival, at most `batch` at once. Latency is counted from
    the arrival, not from the moment at which the system got around to a query, so a queue counts. The run holds when,
    with 99 % confidence, a `share` of the queries has a latency of at most `bound` seconds; then the figure is `rate`.

    Gaps between arrivals are drawn from the exponential distribution, all of them before the run begins.
    """
    check_number("server", "rate", rate)
    check_number("server", "bound", bound)
    check_int("server", "batch", batch, minimum=1)
    run = _Run("server", system, samples, seed, clock)
    latencies, longest = run.open(arrivals(rate, queries, run.rng), batch)
    settings = {"share": share, "queries": queries, "rate": rate, "bound": bound, "batch": batch}
    return run.result(name, latencies, queries, longest_queue=longest, **settings)


def offline(
    system: System,
    samples: Sequence[Any],
    *,
    batch: int = 32,
    passes: int = 1,
    seed: int = 0,
    name: str = "offline",
    clock: Clock | None = None,
) -> ScenarioResult:
    """All samples at once, `passes` times, in batches of the system's choice: the figure is samples per second.

    The latencies of the result are those of the batches.
    """
    check_int("offline", "batch", batch, minimum=1)
    check_int("offline", "passes", passes, minimum=1)
    run = _Run("offline", system, samples, seed, clock)
    places = np.concatenate([run.rng.permutation(len(samples)) for _ in range(passes)])
    latencies = [run.ask(places[start : start + batch]) for start in range(0, len(places), batch)]
    return run.result(name, latencies, len(places), queries=len(latencies), batch=batch, passes=passes)


def arrivals(rate: float, queries: int, rng: np.random.Generator) -> Numbers:
    """The seconds (queries,) at which the queries of a Poisson process arrive, `rate` of them per second on average."""
    check_int("server", "queries", queries, minimum=2)
    return np.cumsum(rng.exponential(1 / rate, queries))


def highest_rate(
    system: System,
    samples: Sequence[Any],
    *,
    bound: float,
    start: float = 10.0,
    precision: float = 0.05,
    **settings: Any,
) -> ScenarioResult:
    """The run of `server` at the highest rate that holds: found by doubling or halving from `start`, then by bisection.

    It ends when a rate holds and one that is `precision` higher does not. Raises ValueError when a query alone takes
    longer than the bound, when there are too few queries to tell, and when no rate above 0.01 per bound holds.
    """
    check_number("highest_rate", "start", start)
    check_number("highest_rate", "precision", precision)
    best, low, high, rate = None, 0.0, math.inf, start
    while best is None or high > low * (1 + precision):
        last = server(system, samples, rate=rate, bound=bound, **settings)
        if last.holds:
            best, low = last, rate
        else:
            high = rate
        if not low and (min(last.latencies) > bound or last.reached is None or high * bound < 0.01):
            raise ValueError(f"highest_rate: {high:.3g} queries per second do not hold, and fewer would not either:\n"
                             f"{'; '.join(last.problems)}")  # fmt: skip
        if rate > 1e9:
            raise ValueError("highest_rate: a billion queries per second hold; the clock does not move for this system")
        rate = 2 * low if math.isinf(high) else math.sqrt(low * high) if low else high / 2
    return best


class _Run:
    """A system while it is asked."""

    def __init__(self, scenario: str, system: System, samples: Sequence[Any], seed: int, clock: Clock | None) -> None:
        if not callable(system):
            raise TypeError(
                f"{scenario}: the system is a {type(system).__name__}; give a function of a list of samples"
            )
        if len(samples) == 0:
            raise ValueError(f"{scenario}: there are no samples to ask for")
        check_int(scenario, "seed", seed)
        self.scenario, self.seed = scenario, seed
        self.rng = np.random.default_rng(seed)
        self._system, self._samples, self._clock = system, samples, clock or WallClock()
        self.ask(np.array([0]))  # warm-up
        self._usage, self._begin = Usage(), self._clock.now()

    def ask(self, places: Any) -> float:
        """The seconds that the system takes for the samples at these places."""
        batch = [self._samples[int(place)] for place in places]
        start = self._clock.now()
        found = self._system(batch)
        taken = self._clock.now() - start
        if not hasattr(found, "__len__") or len(found) != len(batch):
            count = f"{len(found)} results" if hasattr(found, "__len__") else f"a {type(found).__name__}"
            raise ValueError(f"{self.scenario}: the system returned {count} for {len(batch)} samples; return one each")
        return taken

    def closed(self, size: int, queries: int, seconds: float) -> list[float]:
        """The latencies of queries of `size` samples, each asked when the one before is answered."""
        check_int(self.scenario, "queries", queries, minimum=2)
        check_number(self.scenario, "seconds", seconds, low=-1e-300)
        latencies: list[float] = []
        while len(latencies) < queries or self._clock.now() - self._begin < seconds:
            latencies.append(self.ask(self.rng.integers(0, len(self._samples), size)))
        return latencies

    def open(self, due: Numbers, batch: int) -> tuple[list[float], int]:
        """The latencies of queries that arrive at the times `due` (n,), and how many waited at most."""
        places = self.rng.integers(0, len(self._samples), len(due))
        latencies: list[float] = []
        longest = 0
        while (first := len(latencies)) < len(due):
            self._clock.sleep(float(due[first]) - self._elapsed())
            arrived = max(first + 1, int(np.searchsorted(due, self._elapsed(), "right")))
            longest = max(longest, arrived - first)
            last = min(first + batch, arrived)
            self.ask(places[first:last])
            latencies += [max(0.0, self._elapsed() - float(each)) for each in due[first:last]]
        return latencies, longest

    def _elapsed(self) -> float:
        return self._clock.now() - self._begin

    def result(self, name: str, latencies: list[float], samples: int, **settings: Any) -> ScenarioResult:
        share = settings.get("share", 0.5)
        check_number(self.scenario, "share", share, high=1)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        settings["seed"] = self.seed
        about: dict[str, Any] = {"machine": machine(), "others": self._usage.others(), "when": when}
        return ScenarioResult(name, self.scenario, tuple(latencies), samples, self._elapsed(), settings, **about)
