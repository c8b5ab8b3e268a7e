"""The scenarios on a simulated clock, against the laws of queues."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.benchmarking import (
    ScenarioResult,
    SimulatedClock,
    highest_rate,
    multiple_stream,
    offline,
    percentile,
    percentile_bound,
    server,
    single_stream,
)
from tinytorch.benchmarking.scenarios import arrivals

System = Callable[[list[Any]], list[Any]]


def system_of(clock: SimulatedClock, seconds: float, each: float = 0.0) -> System:
    """Takes `seconds` per call and `each` per sample."""

    def system(batch: list[Any]) -> list[Any]:
        clock.sleep(seconds + each * len(batch))
        return batch

    return system


def test_single_stream_measures_each_query_alone(clock: SimulatedClock) -> None:
    seen: list[int] = []
    waits = iter(np.tile([0.1] * 8 + [0.2, 0.9], 10))

    def system(batch: list[Any]) -> list[Any]:
        seen.append(len(batch))
        clock.sleep(next(waits) if len(seen) > 1 else 5.0)  # the first is a warm-up
        return batch

    found = single_stream(system, ["a", "b"], queries=100, clock=clock)
    assert set(seen) == {1}
    assert len(found.latencies) == found.samples == 100
    assert found.figure == pytest.approx(0.2)
    assert found.throughput == pytest.approx(100 / found.seconds)
    assert found.holds


def test_stream_runs_until_both_the_queries_and_the_seconds_are_reached(clock: SimulatedClock) -> None:
    system = system_of(clock, 0.1)
    assert len(single_stream(system, [0], queries=50, seconds=1.0, clock=clock).latencies) == 50
    assert len(single_stream(system, [0], queries=5, seconds=3.05, clock=clock).latencies) == 31


def test_multiple_stream_asks_several_samples_at_once(clock: SimulatedClock) -> None:
    found = multiple_stream(system_of(clock, 0.5, 0.25), range(10), streams=4, queries=500, clock=clock)
    assert found.figure == pytest.approx(1.5)
    assert found.samples == 2000
    assert found.holds


def test_offline_asks_every_sample_once_per_pass(clock: SimulatedClock) -> None:
    seen: list[int] = []

    def system(batch: list[int]) -> list[int]:
        seen.extend(batch)
        clock.sleep(0.1 * len(batch))
        return batch

    found = offline(system, range(10), batch=4, passes=2, clock=clock)
    assert sorted(seen[1:]) == sorted(2 * list(range(10)))
    assert [round(each, 6) for each in found.latencies] == [0.4] * 5
    assert found.figure == pytest.approx(10.0)
    assert found.unit == "samples/s"


@given(st.floats(0.1, 1000.0), st.integers(0, 1000))
@settings(max_examples=30)
def test_arrivals_are_a_poisson_process(rate: float, seed: int) -> None:
    n = 4000
    due = arrivals(rate, n, np.random.default_rng(seed))
    gaps = np.diff(due, prepend=0.0) * rate  # exponential: mean 1, variance 1, no memory
    assert (gaps > 0).all()
    assert abs(gaps.mean() - 1) < 5 / math.sqrt(n)
    assert abs(gaps.var() - 1) < 5 * math.sqrt(8 / n)
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 5 / math.sqrt(n)


def test_arrivals_within_a_second_have_the_variance_of_poisson_s_law() -> None:
    due = arrivals(20.0, 40_000, np.random.default_rng(1))
    counts = np.bincount(due.astype(int))[:-1]
    assert abs(counts.mean() - 20) < 0.5
    assert abs(counts.var() / counts.mean() - 1) < 0.15


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_waiting_in_the_server_s_queue_is_what_pollaczek_and_khinchine_say(clock: SimulatedClock, load: float) -> None:
    """Service of constant length s, Poisson arrivals: the mean wait is s load / (2 (1 - load))."""
    s = 0.01
    found = server(system_of(clock, s), [0], rate=load / s, bound=1.0, queries=60_000, clock=clock, seed=2)
    assert np.mean(found.latencies) - s == pytest.approx(s * load / (2 * (1 - load)), rel=0.1)
    assert min(found.latencies) == pytest.approx(s)
    assert found.seconds == pytest.approx(60_000 * s / load, rel=0.02)


def test_latency_of_a_server_counts_from_the_arrival(clock: SimulatedClock) -> None:
    """A stall delays those that arrived meanwhile, too."""
    calls = iter(range(10_000))

    def system(batch: list[Any]) -> list[Any]:
        clock.sleep(10.0 if next(calls) == 50 else 0.001)
        return batch

    found = server(system, [0], rate=10.0, bound=1.0, queries=500, clock=clock)
    late = sum(latency > 1.0 for latency in found.latencies)
    assert 60 < late < 130  # about 10 per second arrive during the 9 seconds that are over the bound
    assert found.settings["longest_queue"] > 60
    assert not found.holds
    assert "1.00 s are allowed" in found.problems[0]


def test_server_takes_those_that_wait_in_batches(clock: SimulatedClock) -> None:
    sizes: list[int] = []

    def system(batch: list[Any]) -> list[Any]:
        sizes.append(len(batch))
        clock.sleep(1.0)
        return batch

    found = server(system, [0], rate=3.0, bound=5.0, queries=300, batch=8, clock=clock)
    assert max(sizes) <= 8
    assert sum(sizes[1:]) == 300
    assert np.mean(sizes[1:]) > 2
    assert np.all(np.diff(np.cumsum(sizes[1:])) > 0)
    assert found.seconds < 150  # one at a time would take 300


def test_server_within_its_bound_holds_and_beyond_does_not(clock: SimulatedClock) -> None:
    system = system_of(clock, 0.01)
    assert server(system, [0], rate=20.0, bound=0.1, queries=2000, clock=clock).holds
    assert not server(system, [0], rate=99.0, bound=0.02, queries=2000, clock=clock).holds


def test_highest_rate_holds_and_a_little_more_does_not(clock: SimulatedClock) -> None:
    system = system_of(clock, 0.01)
    found = highest_rate(system, [0], bound=0.05, queries=3000, clock=clock, precision=0.02)
    assert found.holds
    assert 50 < found.figure < 100
    assert found.unit == "queries/s"
    assert not server(system, [0], rate=found.figure * 1.03, bound=0.05, queries=3000, clock=clock).holds


@pytest.mark.parametrize("start", [0.5, 5000.0])
def test_highest_rate_does_not_depend_on_the_start(clock: SimulatedClock, start: float) -> None:
    found = highest_rate(system_of(clock, 0.01), [0], bound=0.05, queries=1000, clock=clock, start=start)
    assert 45 < found.figure < 95


def test_highest_rate_says_why_there_is_none(clock: SimulatedClock) -> None:
    with pytest.raises(ValueError, match=r"do not hold, and fewer would not either:\n.*500 ms are allowed"):
        highest_rate(system_of(clock, 1.0), [0], bound=0.5, clock=clock)
    with pytest.raises(ValueError, match="20 queries are too few"):
        highest_rate(system_of(clock, 0.01), [0], bound=0.5, queries=20, clock=clock)
    with pytest.raises(ValueError, match="the clock does not move"):
        highest_rate(list, [0], bound=0.5, queries=500, clock=clock)


def test_run_depends_on_the_seed_alone() -> None:
    def latencies(seed: int) -> tuple[float, ...]:
        clock = SimulatedClock()
        return server(system_of(clock, 0.1), [0], rate=5.0, bound=1.0, seed=seed, clock=clock).latencies

    assert latencies(0) == latencies(0) != latencies(1)


def test_percentile_of_too_few_queries_does_not_hold(clock: SimulatedClock) -> None:
    found = multiple_stream(system_of(clock, 0.01), [0], queries=458, clock=clock)
    assert not found.holds
    assert "458 queries are too few to know the 99 % percentile" in found.problems[0]
    assert multiple_stream(system_of(clock, 0.01), [0], queries=459, clock=clock).holds


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_bound_of_a_percentile_holds_as_often_as_it_says(share: float) -> None:
    rng = np.random.default_rng(4)
    trials, confidence = 2000, 0.9
    bounds = [percentile_bound(rng.random(600), share, confidence) for _ in range(trials)]
    held = (
        sum(bound is not None and bound >= share for bound in bounds) / trials
    )  # uniform: the percentile is the share
    assert held >= confidence - 4 * math.sqrt(confidence * (1 - confidence) / trials)
    assert held < 1 - (1 - confidence) / 4  # it is not wider than it must be


@given(st.lists(st.floats(0.0, 1e3), min_size=2, max_size=300), st.sampled_from([0.5, 0.9, 0.97]))
def test_bound_is_one_of_the_values_and_not_below_the_percentile(values: list[float], share: float) -> None:
    bound = percentile_bound(values, share)
    assert bound is None or (bound in values and bound >= percentile(values, share))


def test_table_says_the_figure_and_whether_it_holds(clock: SimulatedClock) -> None:
    shown = str(server(system_of(clock, 0.01), [0], rate=20.0, bound=0.1, queries=2000, clock=clock))
    assert "server: 20.0 queries/s (holds)" in shown
    assert "99 %" in shown


ASK: dict[str, Callable[..., ScenarioResult]] = {
    "single": single_stream,
    "multiple": multiple_stream,
    "server": lambda *args, **more: server(*args, **{"rate": 1.0, "bound": 1.0, **more}),
    "offline": offline,
}


@pytest.mark.parametrize("scenario", ASK)
@pytest.mark.parametrize(
    ("system", "samples", "error", "says"),
    [
        (list, [], ValueError, "there are no samples"),
        (3, [1], TypeError, "the system is a int"),
        (lambda batch: batch[1:], [1], ValueError, "returned 0 results for 1 samples; return one each"),
        (lambda batch: None, [1], ValueError, "returned a NoneType for 1 samples"),
    ],
)
def test_bad_systems_are_refused(
    scenario: str, system: Any, samples: Any, error: type[Exception], says: str, clock: SimulatedClock
) -> None:
    with pytest.raises(error, match=says):
        ASK[scenario](system, samples, clock=clock)


@pytest.mark.parametrize(
    ("scenario", "more", "says"),
    [
        ("server", {"rate": 0}, "rate is 0; it must be above 0"),
        ("server", {"bound": -1}, "bound is -1"),
        ("server", {"queries": 1}, "queries is 1; it must be an int, at least 2"),
        ("server", {"share": 1.0}, "share is 1.0; it must be above 0 and below 1"),
        ("server", {"batch": 0}, "batch is 0"),
        ("single", {"queries": 1}, "queries is 1"),
        ("single", {"seconds": math.nan}, "seconds is nan"),
        ("single", {"seed": -1}, "seed is -1"),
        ("multiple", {"streams": 0}, "streams is 0"),
        ("offline", {"batch": 0}, "batch is 0"),
        ("offline", {"passes": 0}, "passes is 0"),
    ],
)
def test_bad_settings_are_refused(scenario: str, more: dict[str, Any], says: str, clock: SimulatedClock) -> None:
    with pytest.raises(ValueError, match=says):
        ASK[scenario](list, [1], clock=clock, **more)
