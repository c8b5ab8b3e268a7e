"""Submissions, their ranking, and the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytorch.benchmarking import (
    Competition,
    Quality,
    Result,
    Submission,
    load_submission,
    rank,
    save_submission,
    write_page,
)
from tinytorch.benchmarking.__main__ import main
from tinytorch.benchmarking.submission import _digest
from tinytorch.tensor import FileFormatError

KEY = b"0123456789abcdef"
TITLE = "digits"
Make = Callable[..., Submission]


@pytest.fixture
def make(result: Result) -> Make:
    """Submissions measured as `fast`, which takes 0.1 seconds where the reference takes 0.25."""

    def made(title: str = "small", accuracy: float = 0.95, seconds: float = 0.1, **more: Any) -> Submission:
        series = dict(result.series)
        series["fast"] = replace(series["fast"], times=(seconds,) * 4)
        fields: dict[str, Any] = {
            "competition": TITLE, "title": title, "team": "Ada", "quality": Quality("accuracy", accuracy, 1797),
            "result": replace(result, series=series), "function": "fast", "parameters": 1000, "size": 4000,
        }  # fmt: skip
        return Submission(**(fields | more))

    return made


def test_figures_are_those_of_the_measurement(make: Make) -> None:
    found = make(seconds=0.125)
    assert found.latency == 0.125
    assert found.speedup.low <= found.speedup.value <= found.speedup.high
    assert found.speedup.value == pytest.approx(1 / found.result.ratio("fast").value)
    assert found.memory is not None


@pytest.mark.parametrize("key", [None, KEY])
def test_submission_is_read_as_it_was_written(key: bytes | None, make: Make, tmp_path: Path) -> None:
    save_submission(tmp_path / "s.json", make(), key)
    assert load_submission(tmp_path / "s.json", key) == make()


TAMPER: dict[str, Callable[[dict[str, Any]], Any]] = {
    "quality": lambda d: d["quality"].update(value=0.99),
    "samples": lambda d: d["quality"].update(samples=10**6),
    "title": lambda d: d.update(title="other"),
    "team": lambda d: d.update(team="Eve"),
    "size": lambda d: d.update(size=1),
    "function": lambda d: d.update(function="slow"),
    "machine": lambda d: d["result"]["machine"].update(processor="slow one"),
    "reference": lambda d: d["result"]["series"]["slow"].update(times=[9.0] * 4, summary={"time": 9.0, "memory": 0.0}),
    "digest": lambda d: d["seal"].update(digest="0" * 64),
}


def resealed(document: dict[str, Any]) -> None:
    """What someone does who has read the source but has no key."""
    content = {name: value for name, value in document.items() if name != "seal"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    document["seal"]["digest"] = hashlib.sha256(text).hexdigest()


def tampered(path: Path, change: Callable[[dict[str, Any]], Any], again: bool = False) -> None:
    document = json.loads(path.read_text())
    change(document)
    if again:
        resealed(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("what", TAMPER)
def test_what_was_changed_is_refused(what: str, key: bytes | None, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    save_submission(path, make(), key)
    tampered(path, TAMPER[what])
    with pytest.raises(FileFormatError, match="changed after it was measured"):
        load_submission(path, key)


@pytest.mark.parametrize("what", TAMPER)
def test_seal_of_a_key_cannot_be_made_without_it(what: str, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    save_submission(path, make(), KEY)
    tampered(path, TAMPER[what], again=True)
    with pytest.raises(FileFormatError, match="changed after it was measured"):
        load_submission(path, KEY)


def test_key_is_needed_where_it_was_used_and_only_there(make: Make, tmp_path: Path) -> None:
    save_submission(tmp_path / "sealed.json", make(), KEY)
    save_submission(tmp_path / "open.json", make())
    with pytest.raises(FileFormatError, match="sealed with a key, which is needed"):
        load_submission(tmp_path / "sealed.json")
    with pytest.raises(FileFormatError, match="sealed without the key that is asked for"):
        load_submission(tmp_path / "open.json", KEY)
    with pytest.raises(FileFormatError, match="changed after"):
        load_submission(tmp_path / "sealed.json", KEY[::-1])
    with pytest.raises(ValueError, match="the key has 5 bytes; at least 16"):
        save_submission(tmp_path / "s.json", make(), b"short")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(function="none"), "'none' was not measured; the result has slow, fast"),
        (lambda d: d["result"]["series"]["fast"]["summary"].update(time=0.001), "summary says time 0.001"),
        (lambda d: d["result"]["series"]["fast"].update(times=[0.01] * 3), "3 turns, where the settings say 4"),
        (lambda d: d.update(parameters=-1), "parameters"),
        (lambda d: d.update(title="a\u202eb"), "title"),
        (lambda d: d.update(extra=1), "extra"),
    ],
)
def test_lies_that_are_sealed_again_are_refused(change: Any, says: str, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    save_submission(path, make())
    tampered(path, change, again=True)
    with pytest.raises(FileFormatError, match=says) as caught:
        load_submission(path)
    assert str(caught.value).startswith(str(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_no_changed_byte_is_believed(data: st.DataObject, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    save_submission(path, make(), KEY)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 2))] = data.draw(st.integers(32, 126))
    path.write_bytes(content)
    with suppress(FileFormatError):
        assert load_submission(path, KEY) == make()  # a change of spaces


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"function": "none"}, KeyError, "'none' was not measured"),
        ({"size": -1}, ValueError, "size is -1"),
        ({"parameters": 1.5}, TypeError, "parameters is 1.5"),
        ({"quality": Quality("accuracy", float("nan"), 3)}, ValueError, "accuracy is nan"),
        ({"quality": Quality("accuracy", 0.5, 0)}, ValueError, "samples is 0"),
    ],
)
def test_bad_submissions_are_refused(more: dict[str, Any], error: type[Exception], says: str, make: Make) -> None:
    with pytest.raises(error, match=says):
        make(**more)


def order(submissions: list[Submission], **rules: Any) -> list[tuple[int | None, str]]:
    return [(each.place, each.submission.title) for each in rank(submissions, Competition(TITLE, **rules))]


def test_ranking_follows_the_rules(make: Make) -> None:
    entries = [make("a", 0.95, 0.2, size=9), make("b", 0.97, 0.4, size=5), make("c", 0.90, 0.1, size=1)]
    assert order(entries) == [(1, "b"), (2, "a"), (3, "c")]
    assert order(entries, rank_by="latency") == [(1, "c"), (2, "a"), (3, "b")]
    assert order(entries, rank_by="speedup") == [(1, "c"), (2, "a"), (3, "b")]
    assert order(entries, rank_by="size") == [(1, "c"), (2, "b"), (3, "a")]
    assert order(entries, rank_by="latency", quality_at_least=0.94) == [(1, "a"), (2, "b"), (None, "c")]
    assert order(entries, latency_at_most=0.3, size_at_most=8) == [(1, "c"), (None, "a"), (None, "b")]


def test_equal_ones_share_a_place(make: Make) -> None:
    assert order([make("a", 0.9), make("b", 0.9), make("c", 0.8)]) == [(1, "a"), (1, "b"), (3, "c")]


def test_less_is_better_for_a_perplexity(make: Make) -> None:
    entries = [make(name, quality=Quality("perplexity", value, 9, False)) for name, value in (("a", 9.0), ("b", 7.0))]
    assert order(entries) == [(1, "b"), (2, "a")]
    assert order(entries, quality_at_most=8.0) == [(1, "b"), (None, "a")]


def test_reason_is_given_for_each_limit(make: Make) -> None:
    rules = Competition(TITLE, quality_at_least=0.99, latency_at_most=0.01, size_at_most=10)
    assert rank([make()], rules)[0].problems == [
        "accuracy is 0.95, at least 0.99 is asked",
        "latency is 100 ms, at most 10.0 ms is asked",
        "size is 3.91 KiB, at most 10 B is asked",
    ]


def test_submissions_that_cannot_be_compared_are_refused(make: Make, result: Result) -> None:
    there = replace(result, machine={**result.machine, "processor": "another"})
    for others, rules, says in (
        ([make("b", competition="letters")], {}, "is for 'letters', not for 'digits'"),
        ([make("b", quality=Quality("F1", 0.9, 3))], {}, "'b' has F1, 'a' accuracy"),
        ([make("a")], {}, "'Ada' has two submissions named 'a'"),
        ([make("b", result=there)], {"rank_by": "latency"}, "measured on 2 processors"),
    ):
        with pytest.raises(ValueError, match=says):
            order([make("a"), *others], **rules)
    assert len(order([make("a"), make("b", result=there)], rank_by="speedup")) == 2
    with pytest.raises(ValueError, match="no submissions"):
        order([])


def test_memory_that_was_not_measured_does_not_rank(make: Make, result: Result) -> None:
    bare = {name: replace(series, peaks=()) for name, series in result.series.items()}
    entry = make(result=replace(result, series=bare))
    assert order([entry], memory_at_most=10**12) == [(None, "small")]
    with pytest.raises(ValueError, match="'small' of 'Ada' has no memory"):
        order([entry], rank_by="memory")


@pytest.mark.parametrize(
    ("rules", "says"),
    [({"rank_by": "beauty"}, "rank_by is 'beauty'"), ({"latency_at_most": 0}, "latency_at_most is 0")],
)
def test_bad_rules_are_refused(rules: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Competition(TITLE, **rules)


class Reader(HTMLParser):
    """The tags, the attributes that could load something, and the text of a page."""

    EMPTY = ("meta",)

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.EMPTY and not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not (self.get_starttag_text() or "").endswith("/>") or self.open[-1:] == [tag]:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


NASTY = "<script>alert(1)</script>\"'&lt;<img src=https://example.org/x onerror=y>"


def test_page_is_whole_loads_nothing_and_shows_names_as_text(make: Make, tmp_path: Path) -> None:
    entries = [
        make("a", 0.95, 0.2, description=NASTY),
        make(NASTY, 0.97, 0.1, team=NASTY, quality=Quality("accuracy", 0.97, 9)),
        make("c", 0.8, 0.4),
    ]
    write_page(tmp_path / "p.html", entries, Competition(TITLE, quality_at_least=0.9, about=NASTY))
    html = (tmp_path / "p.html").read_text(encoding="utf-8")
    page = Reader(html)
    assert page.open == []
    assert not page.tags & {"script", "img", "link", "iframe", "object", "a"}
    assert not page.attributes & {"src", "href", "onerror", "style"}
    assert "url(" not in html and "@import" not in html
    assert "default-src 'none'" in html
    assert page.text.count(NASTY) >= 4
    assert "accuracy is 0.8, at least 0.9 is asked" in page.text
    assert "prefers-color-scheme: dark" in html and "width=device-width" in html


def test_page_says_what_its_circles_are(make: Make, tmp_path: Path) -> None:
    first, second = make("a"), make("b", size=5 * 2**20)
    series = {name: replace(each, peaks=()) for name, each in second.result.series.items()}
    without = replace(second, result=replace(second.result, series=series))
    for entries, area, others in (([first, second], "memory", "size"), ([first, without], "size", "memory")):
        write_page(tmp_path / "p.html", entries, Competition(TITLE))
        html = (tmp_path / "p.html").read_text(encoding="utf-8")
        assert f"circle is the {area};" in html and f"circle is the {others};" not in html
    assert "5.00 MiB</title>" in html and "3.91 KiB</title>" in html


@given(figures=st.lists(st.tuples(st.floats(1e-9, 1e6), st.floats(-1e9, 1e9)), min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_page_can_be_drawn_for_all_figures(figures: list[tuple[float, float]], make: Make, tmp_path: Path) -> None:
    entries = [make(f"entry {k}", quality, seconds) for k, (seconds, quality) in enumerate(figures)]
    write_page(tmp_path / "p.html", entries, Competition(TITLE))
    html = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert Reader(html).open == []
    assert "nan" not in html.lower()
    assert html.count("<circle") == len(entries)


def test_failed_ranking_leaves_the_old_page(make: Make, tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text("old")
    with pytest.raises(ValueError, match="is for 'digits'"):
        write_page(tmp_path / "p.html", [make()], Competition("letters"))
    assert (tmp_path / "p.html").read_text() == "old"


def test_command_validates_ranks_and_writes_the_page(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    for name, quality in (("a", 0.95), ("b", 0.97)):
        save_submission(tmp_path / f"{name}.json", make(name, quality), KEY)
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--key", str(tmp_path / "key")]
    assert main(["validate", *files]) == 0
    assert "b of Ada, whole" in capsys.readouterr().out
    assert main(["rank", *files, "--quality-at-least", "0.96", "--page", str(tmp_path / "p.html")]) == 0
    assert "a: accuracy is 0.95, at least 0.96 is asked" in capsys.readouterr().out
    assert "at least 0.96 is asked" in (tmp_path / "p.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("change", [{"parameters": 4.0}, {"title": "a\n"}, {"team": "\ud800"}])
def test_command_refuses_what_no_one_can_have_saved(
    change: dict[str, Any], make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_submission(tmp_path / "a.json", make())
    document = json.loads((tmp_path / "a.json").read_text()) | change
    del document["seal"]
    document["seal"] = {"kind": "sha256", "digest": _digest(document, None)}
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert main(["validate", str(tmp_path / "a.json")]) == 2
    assert f"a.json: [{next(iter(change))!r}] does not fit" in capsys.readouterr().err


def test_command_refuses_what_was_changed(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_submission(tmp_path / "a.json", make())
    tampered(tmp_path / "a.json", TAMPER["quality"])
    assert main(["validate", str(tmp_path / "a.json")]) == 2
    assert main(["rank", str(tmp_path / "a.json"), "--page", str(tmp_path / "p.html")]) == 2
    assert "changed after it was measured" in capsys.readouterr().err
    assert not (tmp_path / "p.html").exists()
