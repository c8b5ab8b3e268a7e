"""Whether something became worse: the verdict on known changes, and the exit codes of the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.benchmarking import Result, ScenarioResult, Series, SimulatedClock, judge, save, server
from tinytorch.benchmarking.__main__ import main

MACHINE: dict[str, Any] = {
    "processor": "A", "cores": 2, "usable_cores": 2, "memory": 10**9, "system": "Linux", "python": "CPython 3.11",
    "numpy": "2.0", "pools": [], "settings": {},
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    "turns": 30, "seconds": 0.1, "warmup": 1, "rest": 0.0, "peaks": 0, "calls": 1, "items": 1, "rtol": 0.0, "atol": 0.0,
    "threads": None, "confidence": 0.95, "seed": 0, "checked": True,
}  # fmt: skip


def made(scale: float = 1.0, seed: int = 0, noise: float = 0.02, peaks: tuple[int, ...] = (), **more: Any) -> Result:
    """A baseline of 1 second and a function of `scale` seconds, measured with `noise`."""
    rng = np.random.default_rng(seed)
    base = rng.normal(1.0, noise, 30)
    series = {
        "base": Series(tuple(base.tolist()), 1, peaks and (100, 100)),
        "ours": Series(tuple((scale * rng.normal(1.0, noise, 30)).tolist()), 1, peaks),
    }
    fields: dict[str, Any] = {"settings": SETTINGS | {"peaks": len(peaks)}, "machine": MACHINE}
    return Result("step", "base", series, **(fields | more))


def status(old: Result, new: Result, **more: Any) -> dict[str, str]:
    return {f"{each.function} {each.quantity}": each.status for each in judge([old], [new], **more).changes}


@pytest.mark.parametrize(
    ("scale", "expected"), [(1.0, "same"), (1.3, "worse"), (0.7, "better"), (1.002, "same"), (1.05, "unclear")]
)
def test_change_is_judged_by_its_whole_interval(scale: float, expected: str) -> None:
    assert status(made(), made(scale, seed=1)) == {"base time": "same", "ours time": expected}


def test_few_noisy_turns_are_unclear_rather_than_worse() -> None:
    assert status(made(noise=0.5), made(1.1, seed=1, noise=0.5))["ours time"] == "unclear"


def test_threshold_says_how_much_counts() -> None:
    assert status(made(), made(1.3, seed=1), threshold=0.5)["ours time"] == "same"
    assert status(made(), made(1.03, seed=1, noise=0.002), threshold=0.01)["ours time"] == "worse"


@given(st.floats(0.3, 3.0), st.integers(0, 100))
@settings(max_examples=40)
def test_verdict_turns_round_when_the_files_do(scale: float, seed: int) -> None:
    turned = {"better": "worse", "worse": "better", "same": "same"}
    forth = status(made(), made(scale, seed=seed))["ours time"]
    back = status(made(scale, seed=seed), made())["ours time"]
    assert back == turned.get(forth, back)


def test_memory_is_judged_too() -> None:
    old, new = made(peaks=(100, 100)), made(peaks=(130, 130))
    assert status(old, new)["ours memory"] == "worse"
    assert status(new, old)["ours memory"] == "better"
    assert status(made(peaks=(0, 0)), made(peaks=(0, 0)))["ours memory"] == "same"
    assert status(made(peaks=(0, 0)), made(peaks=(1, 1)))["ours memory"] == "worse"


def test_what_is_missing_fails_and_what_is_added_does_not() -> None:
    old, new = made(), made()
    more = replace(old, series={**old.series, "more": old.series["ours"]})
    assert judge([old], [more]).ok
    assert status(old, more)["more time"] == "added"
    verdict = judge([more], [new])
    assert not verdict.ok
    assert verdict.count("missing") == 1


def test_times_of_two_machines_are_refused_and_ratios_are_not() -> None:
    other = made(2.0, machine=MACHINE | {"processor": "B"})
    with pytest.raises(ValueError, match="processor 'A' before and 'B' now; compare ratios: by='ratio'"):
        judge([made(2.0)], [other])
    assert status(made(2.0), other, by="ratio") == {"ours time": "same"}
    assert status(made(2.0), made(3.0, machine=other.machine), by="ratio") == {"ours time": "worse"}


def test_threads_that_differ_are_refused() -> None:
    pools = [{"library": "openblas", "version": "1", "architecture": "x", "threads": 4}]
    with pytest.raises(ValueError, match=r"threads \[\] before and \[4\] now"):
        judge([made()], [made(machine=MACHINE | {"pools": pools})])


def test_files_without_a_common_benchmark_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing is in both: 'step' before, 'other' after"):
        judge([made()], [replace(made(), name="other")])
    with pytest.raises(ValueError, match="nothing before, nothing after"):
        judge([], [])


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="by is 'size'"):
        judge([made()], [made()], by="size")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threshold is 0"):
        judge([made()], [made()], threshold=0)


def asked(seconds: float, rate: float = 20.0, seed: int = 0) -> ScenarioResult:
    clock = SimulatedClock()

    def system(batch: list[int]) -> list[int]:
        clock.sleep(seconds)
        return batch

    found = server(system, [0], rate=rate, bound=0.2, queries=1000, clock=clock, seed=seed)
    return replace(found, machine=MACHINE)


def test_scenarios_are_judged_by_their_percentile() -> None:
    assert [each.status for each in judge([asked(0.01)], [asked(0.02)]).changes] == ["worse"]
    assert [each.status for each in judge([asked(0.01)], [asked(0.01)], threshold=0.3).changes] == ["same"]
    with pytest.raises(ValueError, match=r"processor 'A' before and 'B' now$"):  # a scenario has no baseline
        judge([asked(0.01)], [replace(asked(0.01), machine=MACHINE | {"processor": "B"})], by="ratio")
    with pytest.raises(ValueError, match=r"rate 20\.0 before and 30\.0 now"):
        judge([asked(0.01)], [asked(0.01, rate=30.0)])


@pytest.mark.parametrize(
    ("scale", "options", "code"),
    [
        (1.0, [], 0),
        (1.5, [], 1),
        (1.5, ["--threshold", "0.9"], 0),
        (1.05, [], 0),
        (1.05, ["--strict"], 1),
        (0.5, ["--by", "ratio"], 0),
        (1.5, ["--by", "ratio"], 1),
    ],
)
def test_exit_code_says_the_verdict(
    scale: float, options: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "old.json", made())
    save(tmp_path / "new.json", made(scale, seed=1))
    assert main(["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json"), *options]) == code
    shown = capsys.readouterr().out
    assert ("failed" if code and "--strict" not in options else "passed") in shown
    assert "step" in shown


@pytest.mark.parametrize("content", [None, "", "{}"])
def test_files_that_cannot_be_read_have_an_exit_code_of_their_own(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "old.json", made())
    if content is not None:
        (tmp_path / "new.json").write_text(content)
    assert main(["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "new.json" in error
    assert "Traceback" not in error


def test_unusable_option_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare"])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_show_prints_every_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "r.json", made(), asked(0.01))
    assert main(["show", str(tmp_path / "r.json")]) == 0
    shown = capsys.readouterr().out
    assert "ours" in shown
    assert "server: 20.0 queries/s" in shown
