"""Turns, warm-up, ratios and circumstances, by a clock that the tests move; nothing depends on the machine's speed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch.benchmarking
from tinytorch.benchmarking import Benchmark, Result, SimulatedClock, benchmark, compare, machine, peak_memory
from tinytorch.benchmarking.machine import Usage

Timed = Callable[..., Callable[[], Any]]


def test_medians_and_ratio_are_those_of_the_functions(clock: SimulatedClock, taking: Timed) -> None:
    found = compare({"a": taking(0.3), "b": taking(0.1), "c": taking(0.6)}, turns=5, seconds=0.01, clock=clock)
    assert found.baseline == "a"
    assert [found.series[name].median() for name in "abc"] == pytest.approx([0.3, 0.1, 0.6])
    assert found.ratio("b") == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert found.ratio("c") == pytest.approx((2, 2, 2))
    assert found.difference("c") == pytest.approx((0.3, 0.3, 0.3))


def test_every_turn_runs_each_function_as_often_as_fits(clock: SimulatedClock, taking: Timed) -> None:
    short, long = taking(0.001), taking(0.5)
    found = compare({"short": short, "long": long}, turns=3, seconds=0.1, clock=clock)
    assert found.series["short"].calls == 100
    assert found.series["long"].calls == 1


def test_times_of_items_are_a_share_of_a_call(clock: SimulatedClock, taking: Timed) -> None:
    found = compare({"a": taking(0.8)}, turns=2, seconds=0.01, items=8, clock=clock)
    assert found.series["a"].times == pytest.approx((0.1, 0.1))


def test_turns_are_interleaved_in_an_order_drawn_from_the_seed(clock: SimulatedClock) -> None:
    def orders(seed: int) -> list[str]:
        seen: list[str] = []

        def noting(name: str) -> Callable[[], None]:
            def function() -> None:
                seen.append(name)
                clock.sleep(1.0)

            return function

        settings: dict[str, Any] = {"turns": 20, "seconds": 1.0, "warmup": 0, "clock": clock, "seed": seed}
        compare({name: noting(name) for name in "abc"}, **settings)
        return [
            "".join(seen[start : start + 3]) for start in range(6, len(seen), 3)
        ]  # after first call and calibration

    rounds = orders(0)
    assert len(rounds) == 20
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 3
    assert rounds == orders(0) != orders(1)


def test_drift_of_the_machine_does_not_change_the_ratio(clock: SimulatedClock) -> None:
    speed = 1.0

    def drifting(seconds: float) -> Callable[[], None]:
        def function() -> None:
            nonlocal speed
            clock.sleep(seconds * speed)
            speed *= 1.02

        return function

    found = compare({"a": drifting(1.0), "b": drifting(2.0)}, turns=40, seconds=0.5, clock=clock)
    assert found.series["a"].times[-1] > 4 * found.series["a"].times[0]
    assert found.ratio("b").value == pytest.approx(2.0, rel=0.05)


def test_what_is_slow_at_first_is_not_measured(clock: SimulatedClock) -> None:
    waits = iter([50.0] * 3)  # the first call, the one that finds the number of calls, one turn of warm-up
    found = compare({"a": lambda: clock.sleep(next(waits, 1.0))}, turns=4, seconds=1.0, warmup=1, clock=clock)
    assert found.series["a"].times == pytest.approx((1.0,) * 4)


def test_outliers_are_stated_and_stay(clock: SimulatedClock) -> None:
    waits = iter([1.0] * 8 + [30.0])
    found = compare({"a": lambda: clock.sleep(next(waits, 1.0))}, turns=12, seconds=1.0, clock=clock)
    assert found.series["a"].outliers.far_high == 1
    assert max(found.series["a"].times) == pytest.approx(30.0)
    assert "a: 1 of 12 turns lie far outside of the others" in found.notes
    assert "1 of 12 turns" in str(found)


def test_clock_that_stands_still_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "MOST_CALLS", 1000)
    with pytest.raises(ValueError, match="the clock did not move during 1,000 calls of 'a'"):
        compare({"a": int}, turns=2, clock=SimulatedClock())


def test_rest_lies_between_turns_and_is_not_measured(clock: SimulatedClock, taking: Timed) -> None:
    found = compare({"a": taking(1.0)}, turns=3, seconds=1.0, rest=10.0, clock=clock)
    assert found.series["a"].times == pytest.approx((1.0,) * 3)
    assert clock.now() > 30


def test_load_of_other_processes_is_noticed(monkeypatch: pytest.MonkeyPatch, result: Result) -> None:
    monkeypatch.setattr(Usage, "others", lambda self: 1.26)
    found = compare({"a": lambda: sum(range(100))}, turns=2, seconds=1e-3)
    assert found.others == 1.26
    assert any(note.startswith("other processes kept 1.3 of ") for note in found.notes)


def test_usage_is_busy_time_without_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = iter([(100.0, 1000.0, 50.0), (110.0, 1015.0, 53.0)])  # seconds, seconds busy, seconds of ours
    monkeypatch.setattr(Usage, "_read", lambda self: next(reads))
    assert Usage().others() == pytest.approx((15 - 3) / 10)


def test_usage_never_falls_below_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = iter([(0.0, 0.0, 0.0), (1.0, 0.5, 0.6)])  # clocks of different grain
    monkeypatch.setattr(Usage, "_read", lambda self: next(reads))
    assert Usage().others() == 0.0


def test_machine_is_written_down() -> None:
    about = machine()
    assert about["numpy"] == np.__version__
    assert about["cores"] >= about["usable_cores"] >= 1
    assert about["processor"]
    assert all(pool["library"] and pool["threads"] >= 1 for pool in about["pools"])


def test_threads_of_blas_are_limited_while_it_runs_and_written_down() -> None:
    before = machine()["pools"]
    found = compare({"a": lambda: np.ones((8, 8)) @ np.ones((8, 8))}, turns=2, seconds=1e-3, threads=1)
    assert all(pool["threads"] == 1 for pool in (*found.machine["pools"], *found.series["a"].pools))
    assert found.settings["threads"] == 1
    assert machine()["pools"] == before


def test_peak_memory_is_that_of_the_arrays() -> None:
    def doubling() -> Any:
        x = np.ones(2**20)
        return (x + x).sum()

    assert 2 * 8 * 2**20 <= peak_memory(doubling) < 2.01 * 8 * 2**20
    found = compare({"one": lambda: np.ones(2**20).sum(), "two": doubling}, turns=0, peaks=2, check=False)
    assert found.quantities == ("memory",)
    assert found.ratio("two", "memory").value == pytest.approx(2.0, rel=0.01)


def test_memory_that_was_not_measured_is_an_error(clock: SimulatedClock, taking: Timed) -> None:
    found = compare({"a": taking(1.0)}, turns=2, clock=clock)
    with pytest.raises(ValueError, match="no memory was measured; there is time"):
        found.ratio("a", "memory")
    with pytest.raises(KeyError, match="it measured a"):
        found.ratio("b")


def test_same_times_give_the_same_interval(clock: SimulatedClock, taking: Timed) -> None:
    times = (1.0, 1.1, 0.9, 1.3, 0.8)
    functions = {"a": taking(*times), "b": taking(*reversed(times))}
    found = compare(functions, turns=9, seconds=0.5, clock=clock)
    assert found.ratio("b") == found.ratio("b")
    assert found.ratio("b").low < found.ratio("b").value < found.ratio("b").high


def test_what_a_function_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        compare({"a": lambda: 1 // 0})


def test_table_shows_names_as_they_are(clock: SimulatedClock, taking: Timed) -> None:
    found = compare({"[red]a[/red]": taking(1.0), "[/b]": taking(2.0)}, turns=2, clock=clock)
    assert "[red]a[/red]" in str(found)
    assert "[/b]" in str(found)
    assert "2 [2, 2]" in str(found)


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no function": ({"functions": {}}, ValueError, "there is no function to measure"),
    "not a function": ({"functions": {"a": 3}}, TypeError, "'a' is a int; give a function"),
    "no name": ({"functions": {"": int}}, ValueError, "'' is not a name"),
    "control character": ({"functions": {"a\x1b[2J": int}}, ValueError, "is not a name"),
    "one turn": ({"turns": 1}, ValueError, "from a single measurement nothing follows"),
    "nothing": ({"turns": 0}, ValueError, "one of them must be at least 2"),
    "one peak": ({"peaks": 1}, ValueError, "neither 1"),
    "turns by halves": ({"turns": 2.5}, TypeError, "turns is 2.5; it must be an int, at least 0"),
    "true turns": ({"turns": True}, TypeError, "it must be an int"),
    "negative seed": ({"seed": -1}, ValueError, "seed is -1; it must be an int, at least 0"),
    "no time": ({"seconds": 0}, ValueError, "seconds is 0; it must be above 0"),
    "endless time": ({"seconds": float("inf")}, ValueError, "seconds is inf"),
    "no number": ({"seconds": "1"}, TypeError, "seconds is '1', a str; it must be a number"),
    "NaN": ({"rtol": float("nan")}, ValueError, "rtol is nan"),
    "negative tolerance": ({"atol": -1.0}, ValueError, "atol is -1.0"),
    "certainty": ({"confidence": 1.0}, ValueError, "confidence is 1.0; it must be above 0 and below 1"),
    "no threads": ({"threads": 0}, ValueError, "threads is 0; it must be an int, at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_by_name(case: str) -> None:
    changed, error, says = BAD[case]
    with pytest.raises(error, match=says) as caught:
        Benchmark(**{"name": "b", "functions": {"a": int}, **changed})
    assert str(caught.value).startswith("benchmark 'b': ")
    assert str(caught.value).count("\n") <= 1


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, tinytorch.benchmarking; print([m for m in %r if m in sys.modules])"
    heavy = ("jsonschema", "matplotlib", "psutil", "referencing", "rich", "scipy", "threadpoolctl")
    run = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    assert tinytorch.benchmarking.__version__ == __import__("importlib.metadata").metadata.version(
        "tinytorch-benchmarking"
    )
