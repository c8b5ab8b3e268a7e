"""Functions in processes of their own."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from tinytorch.benchmarking import ResultsDifferError, Worker, WorkerError, compare

FOLDER = str(Path(__file__).parent)


def worker(function: str, *arguments: Any, threads: int | None = 1) -> Worker:
    return Worker(f"steps:{function}", arguments, threads, {"PYTHONPATH": FOLDER})


def test_worker_is_measured_beside_a_function() -> None:
    def ours() -> Any:
        return {"value": [2.0, 2.0, 2.0], "text": ("done", None)}

    found = compare({"here": ours, "there": worker("constant", 2.0)}, turns=3, seconds=1e-3)
    assert all(time > 0 for series in found.series.values() for time in series.times)
    assert all(pool["threads"] == 1 for pool in found.series["there"].pools)


def test_whole_results_are_compared_across_processes() -> None:
    with pytest.raises(ResultsDifferError, match=r"'b' does not return what 'a' returns at result\['value'\]: 3 of 3"):
        compare({"a": worker("constant", 1.0), "b": worker("constant", 2.0)}, turns=2, seconds=1e-3)


@pytest.mark.skipif(platform.system() != "Linux", reason="the peak of a process is read from /proc")
def test_peak_is_what_a_new_process_occupies() -> None:
    found = compare({"small": worker("allocating", 16), "large": worker("allocating", 64)}, turns=0, peaks=2, calls=2)
    assert found.series["large"].median("memory") == pytest.approx(64 * 2**20, rel=0.1)
    assert found.ratio("large", "memory").value == pytest.approx(4, rel=0.2)


def test_elsewhere_the_peak_of_a_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinytorch.benchmarking import memory

    monkeypatch.setattr(memory.platform, "system", lambda: "Darwin")
    with pytest.raises(NotImplementedError, match="/proc, which Darwin does not have"):
        memory.resident_peak(int, 1)


def test_threads_are_told_to_the_process() -> None:
    compare({"told": worker("threads", threads=3), "here": lambda: "3"}, turns=2, seconds=1e-3)


def test_what_is_printed_does_not_mix_with_answers(capfd: pytest.CaptureFixture[str]) -> None:
    compare({"a": worker("printing")}, turns=2, seconds=1e-4)
    assert '{"seconds": 1}' in capfd.readouterr().err


@pytest.mark.parametrize(("step", "code"), [("dying", 3), ("failing", 1), ("nothing", 1)])
def test_death_of_a_worker_is_an_error_with_its_code(step: str, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorkerError, match=rf"the worker 'b' ended with exit code {code}"):
        compare({"a": worker("constant", 1.0), "b": worker(step)}, turns=2, seconds=1e-3)
    if step == "failing":
        assert "this step cannot be made" in capfd.readouterr().err


@pytest.mark.parametrize("target", ["steps", "steps:", ":constant", "a:b:c", 3])
def test_target_without_a_function_is_refused(target: Any) -> None:
    with pytest.raises(ValueError, match=r"it must be like 'package.module:function'"):
        Worker(target)


def test_arguments_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(TypeError, match="they are sent as JSON"):
        Worker("steps:constant", (object(),))


def test_threads_are_stated_once() -> None:
    with pytest.raises(ValueError, match="which states its own threads"):
        compare({"a": worker("constant", 1.0)}, threads=2)
    with pytest.raises(ValueError, match="threads is 0"):
        Worker("steps:constant", threads=0)
