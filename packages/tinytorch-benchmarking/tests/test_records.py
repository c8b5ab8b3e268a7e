"""Files: what is written is read again, and what lies is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytorch.benchmarking import Result, ScenarioResult, SimulatedClock, documents, load, save, server
from tinytorch.tensor import FileFormatError

Change = Callable[[dict[str, Any]], Any]


def test_result_is_read_as_it_was_written(result: Result, tmp_path: Path) -> None:
    save(tmp_path / "r.json", result)
    [found] = load(tmp_path / "r.json")
    assert found == result
    assert found.ratio("fast") == result.ratio("fast")
    assert str(found) == str(result)


def test_several_results_keep_their_order(result: Result, tmp_path: Path) -> None:
    other = Result(**{**vars_of(result), "name": "another"})
    save(tmp_path / "r.json", result, other)
    assert [each.name for each in load(tmp_path / "r.json")] == ["example", "another"]


def vars_of(result: Result) -> dict[str, Any]:
    names = ("name", "baseline", "series", "settings", "machine", "others", "load", "when")
    return {name: getattr(result, name) for name in names}


def test_two_results_of_one_name_are_refused_and_nothing_is_written(result: Result, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="two results are named 'example'"):
        save(tmp_path / "r.json", result, result)
    assert list(tmp_path.iterdir()) == []


def first(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["results"][0]
    return found


LIES: dict[str, tuple[Change, str]] = {
    "another format": (lambda d: d.update(format="other"), "'tinytorch-benchmark' was expected"),
    "later version": (lambda d: d.update(version=2), "1 was expected"),
    "no results": (lambda d: d.pop("results"), "results"),
    "unknown key": (lambda d: first(d).update(extra=1), "extra"),
    "missing key": (lambda d: first(d).pop("machine"), "'machine' is a required property"),
    "no baseline": (lambda d: first(d).update(baseline="none"), "baseline 'none' is none of its 2 functions"),
    "negative time": (lambda d: first(d)["series"]["fast"]["times"].__setitem__(0, -1.0), r"\['times'\]\[0\]"),
    "time as text": (lambda d: first(d)["series"]["fast"]["times"].__setitem__(0, "1"), r"\['times'\]\[0\]"),
    "faster summary": (
        lambda d: first(d)["series"]["fast"]["summary"].update(time=0.01),
        "summary says time 0.01, but the median of what was measured is 0.1",
    ),
    "faster turn": (lambda d: first(d)["series"]["slow"].update(times=[0.01] * 4), "summary says time"),
    "smaller memory": (lambda d: first(d)["series"]["slow"].update(peaks=[0, 0]), "summary says memory"),
    "turn left out": (lambda d: first(d)["series"]["slow"]["times"].pop(), "3 turns, where the settings say 4"),
    "no summary": (lambda d: first(d)["series"]["slow"].update(summary={}), r"summary of \[\]"),
    "confidence": (lambda d: first(d)["settings"].update(confidence=1.5), "confidence"),
    "escape sequence": (lambda d: first(d).update(name="a\x1b[2J"), "name"),
    "reversed text": (lambda d: first(d).update(name="\u202egnp.exe"), "name"),
    "line behind a name": (lambda d: first(d).update(name="a\n"), "name"),
    "half a character": (lambda d: first(d).update(name="\ud800"), "name"),
    "whole number as a float": (lambda d: first(d)["settings"].update(turns=4.0), "turns"),
    "long name": (lambda d: first(d).update(name="a" * 201), "name"),
    "true as a number": (lambda d: first(d)["series"]["fast"].update(calls=True), "calls"),
    "not an object": (lambda d: d.update(results=[3]), "results"),
    "no turns": (
        lambda d: (
            first(d)["settings"].update(turns=0, peaks=0),
            [s.update(times=[], peaks=[], summary={}) for s in first(d)["series"].values()],
        ),
        "there are not two measurements",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_file_that_lies_is_refused(lie: str, result: Result, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    save(path, result)
    document = json.loads(path.read_text())
    change, says = LIES[lie]
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(FileFormatError, match=says) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).count("\n") <= 1


DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a file of results"),
    "not JSON": (b"PK\x03\x04", "not a file of results"),
    "not text": (b'{"format": "\xff"}', "not a file of results"),
    "not finite": (b'{"version": NaN}', "NaN is not a number"),
    "too large a number": (b'{"version": 1e999}', "1e999 is larger than any number"),
    "endless digits": (b'{"version": ' + b"9" * 5000 + b"}", "not a file of results"),
    "twice": (b'{"version": 1, "version": 2}', "the key 'version' comes twice"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "list": (b"[]", "the document does not fit"),
    "null": (b"null", "the document does not fit"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    content, says = DAMAGED[damage]
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(FileFormatError, match=says) as caught:
        load(tmp_path / "r.json")
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_file_beyond_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(documents, "LARGEST", 100)
    (tmp_path / "r.json").write_bytes(b" " * 101)
    with pytest.raises(FileFormatError, match="more than 100 bytes"):
        load(tmp_path / "r.json")


def test_missing_file_is_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_truncated_or_changed_file_is_refused_or_read(
    data: st.DataObject, result: Result, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    save(path, result)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 2))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = load(path)
    except FileFormatError:
        return
    assert [len(each.series["slow"].times) for each in found] == [4]


def test_failed_write_leaves_the_old_file(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    save(path, result)
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match="save: "):
        save(path, Result(**{**vars_of(result), "name": "a\x1b"}))
    assert path.read_bytes() == before


SCENARIO_LIES: dict[str, tuple[Change, str]] = {
    "higher rate": (lambda s: s["settings"].update(rate=900.0), "summary says"),
    "smaller bound": (lambda s: s["settings"].update(bound=0.001), "'holds': True"),
    "faster queries": (lambda s: s.update(latencies=[0.3] * 1000), "'holds': True"),
    "other figure": (lambda s: s["summary"].update(figure=100.0), "summary says"),
    "longer than the run": (lambda s: s.update(seconds=0.001), "in a run of 0.001 s"),
    "no share": (lambda s: s["settings"].pop("share"), "'share' is a required property"),
    "no such scenario": (lambda s: s.update(scenario="quantum"), "quantum"),
    "negative latency": (lambda s: s["latencies"].__setitem__(0, -0.1), "latencies"),
    "no latencies": (lambda s: s.update(latencies=[]), "latencies"),
}


@pytest.fixture
def served(clock: SimulatedClock) -> ScenarioResult:
    def system(batch: list[int]) -> list[int]:
        clock.sleep(0.01)
        return batch

    return server(system, [0], rate=20.0, bound=0.2, queries=1000, clock=clock)


def test_scenario_is_read_as_it_was_written(served: ScenarioResult, result: Result, tmp_path: Path) -> None:
    save(tmp_path / "r.json", served, result)
    assert load(tmp_path / "r.json") == [result, served]


@pytest.mark.parametrize("lie", SCENARIO_LIES)
def test_scenario_that_lies_is_refused(lie: str, served: ScenarioResult, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    save(path, served)
    document = json.loads(path.read_text())
    change, says = SCENARIO_LIES[lie]
    change(document["scenarios"][0])
    path.write_text(json.dumps(document))
    with pytest.raises(FileFormatError, match=says):
        load(path)
