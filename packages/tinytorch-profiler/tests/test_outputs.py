"""What people look at: tables, the summary, the trace, the report."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import tinytorch.tensor as tt
from tinytorch.layers import GELU, Embedding, LayerNorm, Linear, Module, ReLU, Sequential
from tinytorch.layers import functional as F
from tinytorch.profiler import Machine, Profiler, Row, summary
from tinytorch.profiler.machine import measure_machine
from tinytorch.profiler.table import rich_table
from tinytorch.profiler.units import duration, short, size
from tinytorch.tensor import Tensor

VOID = {"meta"}


class Strict(HTMLParser):
    """Every element is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[tuple[str, str | None]] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.update(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.update(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class Language(Module):
    def __init__(self) -> None:
        self.embed = Embedding(20, 8)
        self.body = Sequential(LayerNorm(8), Linear(8, 32), GELU(), Linear(32, 8))
        self.head = Linear(8, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        return self.head(x + self.body(x))


@pytest.fixture
def prof() -> Profiler:
    model = Language()
    with Profiler(model) as prof, prof.region("<train> & co"):
        F.cross_entropy(model(Tensor([[1, 2, 3]])), Tensor([[2, 3, 4]])).backward()
    prof._machine = Machine(peak=1e11, bandwidth=2e10)  # measuring it has a test of its own
    return prof


def test_table_is_sorted_limited_and_aligned(prof: Profiler) -> None:
    lines = prof.table(sort_by="flops", limit=2).splitlines()
    assert lines[0].split()[:3] == ["name", "calls", "self"]
    assert [line.split("  ")[0] for line in lines[2:4]] == ["linear backward", "linear"]
    assert len({len(line) for line in lines[:4]}) == 1
    assert len(lines) == 2 + 2 + 2


COLUMNS = ("count", "self", "share", "total", "flops", "elementwise", "rate", "bytes", "intensity", "allocated", "peak")


@pytest.mark.parametrize("column", COLUMNS)
def test_table_sorts_by_every_column(prof: Profiler, column: str) -> None:
    rows = {row.name: row for row in prof.rows()}
    value = {
        "self": lambda row: row.self_ns, "share": lambda row: row.self_ns, "total": lambda row: row.total_ns,
        "bytes": lambda row: row.read + row.written,
    }.get(column, lambda row: getattr(row, column))  # fmt: skip
    names = [line.split("  ")[0] for line in prof.table(sort_by=column, columns=["name"]).splitlines()[2:-2]]
    values = [value(rows[name]) for name in names]
    assert len(names) == len(rows)
    assert values == sorted(values, reverse=True)


def test_table_by_name_is_alphabetical(prof: Profiler) -> None:
    names = prof.table(sort_by="name", columns=["name"]).splitlines()[2:-2]
    assert names == sorted(names)


@pytest.mark.parametrize("wrong", [{"sort_by": "speed"}, {"columns": ["speed"]}, {"group_by": "speed"}])
def test_unknown_columns_and_groups_are_refused_with_those_there_are(prof: Profiler, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'speed'"):
        prof.table(**wrong)


def test_table_by_module_names_the_model(prof: Profiler) -> None:
    text = prof.table(group_by="module", sort_by="total")
    assert text.splitlines()[2].startswith("Language ")
    assert "body.1" in text


def test_nothing_measured_is_an_empty_table() -> None:
    assert "0 operations" in Profiler().table()


def test_rich_shows_the_table(prof: Profiler) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(prof)
    text = console.export_text()
    assert "linear backward" in text
    assert "FLOP in products" in text


def test_rich_aligns_names_left_and_numbers_right(prof: Profiler) -> None:
    names, *numbers = rich_table(prof.rows(), "self", None, None, "", "").columns
    assert names.justify == "left" and {column.justify for column in numbers} == {"right"}


def test_rich_gives_each_row_one_line_however_narrow_the_terminal(prof: Profiler) -> None:
    def lines(width: int) -> int:
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(rich_table(prof.rows(), "self", None, None, "", ""))
        return len(console.export_text().splitlines())

    assert lines(60) == lines(300)


def test_summary_says_what_each_layer_is_and_does() -> None:
    found = summary(Language(), (2, 5))
    rows = {layer.name: layer for layer in found.layers}
    assert (rows["embed"].inputs, rows["embed"].outputs) == (["2x5"], ["2x5x8"])
    assert rows["body.1"].parameters == 8 * 32 + 32
    assert rows["body"].flops == rows["body.1"].flops + rows["body.3"].flops == 2 * (2 * 10 * 8 * 32)
    assert found.flops == rows[""].flops == rows["body"].flops + 2 * 10 * 8 * 20
    assert found.parameters == found.trainable == sum(p.size for p in Language().parameters())
    assert "    1: Linear" in str(found)


def test_summary_leaves_no_hooks_and_counts_what_is_not_learned() -> None:
    model = Sequential(Linear(4, 4), ReLU(), Linear(4, 2))
    model.get_submodule("0").requires_grad_(False)
    found = summary(model, (1, 4))
    assert (found.parameters, found.trainable) == (30, 10)
    assert all(module._hooks is None for module in model.modules())


def test_chrome_trace_is_complete_events_that_lie_within_each_other(prof: Profiler, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    prof.export_chrome_trace(path)
    events = json.loads(path.read_text())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert len(spans) == len(prof.events) + len(prof.spans)
    for event in spans:
        assert set(event) == {"ph", "name", "cat", "ts", "dur", "pid", "tid", "args"}
        assert event["ts"] >= 0 <= event["dur"]
        assert event["pid"] == os.getpid()
        assert event["tid"] == 1
    open_until: list[float] = []
    for event in sorted(spans, key=lambda event: (event["ts"], -event["dur"])):
        while open_until and open_until[-1] <= event["ts"]:
            open_until.pop()
        assert not open_until or event["ts"] + event["dur"] <= open_until[-1] + 1e-3
        open_until.append(event["ts"] + event["dur"])
    counters = [event for event in events if event["ph"] == "C"]
    assert max(event["args"]["bytes"] for event in counters) == prof.peak_memory
    linear = next(event for event in spans if event["name"] == "linear")
    assert linear["args"]["flops"] == 2 * 3 * 8 * 32
    assert linear["args"]["module"] == "body.1"


def test_report_is_one_well_formed_page_that_asks_for_nothing(prof: Profiler, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    prof.report(path)
    text = path.read_text()
    page = Strict()
    page.feed(text)
    page.close()
    assert page.open == []
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "xlink:href"}
    for outside in ("http:", "https:", "url(", "@import", "fetch(", "XMLHttpRequest"):
        assert outside not in text
    assert {"Operators", "Modules", "Memory", "Roofline", "linear backward", "<train> & co"} <= set(page.texts)
    assert "<train>" not in text


def test_report_of_nothing_and_of_no_model_is_a_page_too(tmp_path: Path) -> None:
    prof = Profiler()
    prof._machine = Machine(peak=1e11, bandwidth=2e10)
    prof.report(tmp_path / "empty.html")
    with prof:
        tt.ones(3, 3).exp()
    prof.report(tmp_path / "one.html")
    for name in ("empty", "one"):
        page = Strict()
        page.feed((tmp_path / f"{name}.html").read_text())
        assert page.open == []
        assert "Modules" not in page.texts


def test_flame_boxes_lie_within_those_above(prof: Profiler) -> None:
    from tinytorch.profiler.report.frames import Frame, frames

    def check(frame: Frame) -> int:
        assert frame.own_ns >= 0
        return frame.own_ns + sum(check(child) for child in frame.children.values())

    root = frames(prof.recording, "Language")
    assert check(root) == root.total_ns
    assert root.total_ns == pytest.approx(prof.wall_ns, rel=1e-6)
    assert root.count == 1
    training = root.children["region", "<train> & co"]
    assert set(training.children) == {("phase", "forward"), ("phase", "backward")}
    model = training.children["phase", "backward"].children["module", "Language"]
    assert ("backward", "linear") in model.children["module", "head"].children


def test_a_frame_stands_directly_below_what_it_is_part_of(prof: Profiler) -> None:
    from tinytorch.profiler.report.flame import ROW, flame
    from tinytorch.profiler.report.frames import frames

    page = flame(frames(prof.recording, "Language"))
    boxes = re.findall(r'data-x="([\d.]+)" data-w="([\d.]+)".*?top:(-?\d+)px', page)
    placed = [(float(x), float(x) + float(w), int(top)) for x, w, top in boxes]
    assert placed[0] == (0.0, 1.0, 0)
    for left, right, top in placed[1:]:
        assert top > 0 == top % ROW
        above = [box for box in placed if box[2] == top - ROW and box[0] <= left + 1e-5 and right <= box[1] + 1e-5]
        assert len(above) == 1
    assert max(top for *_, top in placed) < int(re.search(r"height:(\d+)px", page)[1])  # type: ignore[index]


def test_the_curve_of_memory_reaches_its_peak_and_ends_where_it_ends(prof: Profiler) -> None:
    from tinytorch.profiler.report.timeline import BOTTOM, HEIGHT, TOP, timeline

    path = re.search(r'<path class="area" d="M([^"]*)Z"', timeline(prof.recording))
    assert path
    heights = [float(point.split(",")[1]) for point in path[1].split("L")]
    assert min(heights) == TOP
    assert heights[0] == heights[-1] == max(heights) == HEIGHT - BOTTOM
    left = TOP + (1 - prof.current_memory / prof.peak_memory) * (HEIGHT - TOP - BOTTOM)
    assert heights[-2] == pytest.approx(left, abs=0.1)
    assert len(heights) > 10


def test_a_long_curve_of_memory_keeps_its_highest_points_in_their_order() -> None:
    from tinytorch.profiler.report.timeline import BINS, _thinned

    memory = [(time, 10**6 if time == 5_000 else time % 97) for time in range(10_000)]
    kept = _thinned(memory, 0, 10_000)
    assert len(kept) <= 2 * BINS
    assert {(5_000, 10**6), memory[-1]} <= set(kept)
    assert kept == sorted(kept)


def test_pictures_stay_within_their_frames_and_labels_stand_at_their_lines(prof: Profiler) -> None:
    from tinytorch.profiler.report import roofline, timeline

    for module, drawn in (
        (timeline, timeline.timeline(prof.recording)),
        (roofline, roofline.roofline(prof.rows(), prof.machine())),
    ):
        across = [float(x) for x in re.findall(r' (?:x1|x2|x|cx)="(-?[\d.]+)"', drawn)]
        down = [float(y) for y in re.findall(r' (?:y1|y2|y|cy)="(-?[\d.]+)"', drawn)]
        assert 0 <= min(across) <= max(across) <= module.WIDTH
        assert 0 <= min(down) <= max(down) <= module.HEIGHT
        levels = [y for y, other in re.findall(r'<line[^>]* y1="([\d.]+)"[^>]* y2="([\d.]+)"', drawn) if y == other]
        labels = re.findall(r'<text class="tick"[^>]* y="([\d.]+)" text-anchor="end"', drawn)
        assert [float(y) for y in labels] == pytest.approx([float(y) + 4 for y in levels], abs=0.11)
        assert len(labels) > 2


def test_the_tree_of_modules_names_each_by_what_its_name_adds(prof: Profiler, tmp_path: Path) -> None:
    prof.report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text().split("<h2>Modules")[1].split("</table>")[0]
    names = re.findall(r'padding-left:([\d.]+)em">([^<]*)<', text)
    assert [name for _, name in names] == ["Language", "embed", "body", "0", "1", "2", "3", "head"]
    assert [float(depth) for depth, _ in names] == pytest.approx([0, 1.1, 1.1, 2.2, 2.2, 2.2, 2.2, 1.1])


def test_the_roofline_is_drawn_to_scale() -> None:
    from tinytorch.profiler.report.roofline import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, roofline

    machine = Machine(peak=1e10, bandwidth=1e9)  # its ridge is at 10 FLOP per byte
    rows = [
        Row("slow", "forward", count=1, self_ns=1_000_000, flops=10_000, read=10_000),  # 1 FLOP per byte, 10 MFLOP/s
        Row("fast backward", "backward", count=1, self_ns=4_000_000, flops=4_000_000, read=40_000),  # 100, 1 GFLOP/s
        Row("moves", "forward", count=1, self_ns=1_000, read=10),
    ]
    drawn = roofline(rows, machine)
    found = re.findall(r'class="(\w+)" cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"[^>]*aria-label="([^"]*)"', drawn)
    circles = {tip.split(":")[0]: (kind, float(x), float(y), float(r), tip) for kind, x, y, r, tip in found}
    assert {name: circle[0] for name, circle in circles.items()} == {"slow": "forward", "fast backward": "backward"}
    assert "10.0 MFLOP/s, 1% of the roof at 1.00 FLOP per byte, 1.00 ms" in circles["slow"][4]
    assert "1.00 GFLOP/s, 10% of the roof at 100.00 FLOP per byte, 4.00 ms" in circles["fast backward"][4]

    def axis(anchor: str, place: str) -> dict[str, float]:
        labels = re.findall(rf'<text class="tick"[^>]* {place}="([\d.]+)"[^>]*text-anchor="{anchor}">([^<]*)<', drawn)
        return {text: float(value) for value, text in labels}

    x, y = axis("middle", "x"), axis("end", "y")
    assert [text for text in x if text[0].isdigit()] == ["1", "10", "100"]
    assert list(y) == ["10.0 M", "100 M", "1.00 G", "10.0 G"]
    assert (x["1"], x["100"]) == (LEFT, WIDTH - RIGHT)
    assert x["arithmetic intensity (FLOP per byte)"] == pytest.approx((x["1"] + x["100"]) / 2, abs=RIGHT)
    assert [circles[name][1] for name in circles] == pytest.approx([x["100"], x["1"]], abs=0.1)
    assert [circles[name][2] for name in circles] == pytest.approx([y["1.00 G"] - 4, y["10.0 M"] - 4], abs=0.1)
    assert circles["fast backward"][3] - 3.5 == pytest.approx(2 * (circles["slow"][3] - 3.5), abs=0.2)

    corners = [tuple(map(float, each.split(","))) for each in re.findall(r"[\d.]+,[\d.]+", drawn.split("roof")[2])][:3]
    ridge, end = (x["10"], y["10.0 G"] - 4), (x["100"], y["10.0 G"] - 4)
    assert corners[1:] == [pytest.approx(ridge, abs=0.1), pytest.approx(end, abs=0.1)]
    assert corners[0] == pytest.approx((x["1"], y["1.00 G"] - 4), abs=0.1)
    assert TOP < corners[1][1] < corners[0][1] <= HEIGHT - BOTTOM
    assert {"slow", "fast backward"} <= set(re.findall(r'<text class="name"[^>]*>([^<]*)<', drawn))


def test_regions_without_primitives_have_their_time_in_the_flame_graph(tmp_path: Path) -> None:
    from tinytorch.profiler.report.frames import frames

    prof = Profiler()
    prof._machine = Machine(peak=1e11, bandwidth=2e10)
    with prof:
        with prof.region("optimizer"):
            time.sleep(0.01)
            with prof.region("clipping"):
                time.sleep(0.01)
        tt.ones(3, 3).exp()
    root = frames(prof.recording, "")
    optimizer = root.children["region", "optimizer"]
    clipping = optimizer.children["region", "clipping"]
    assert (optimizer.count, clipping.count) == (1, 1)
    assert optimizer.own_ns >= 10e6 <= clipping.own_ns
    durations = {span.name: span.duration for span in prof.spans}
    assert optimizer.total_ns == durations["optimizer"]
    assert clipping.total_ns == durations["clipping"]
    assert root.total_ns == prof.wall_ns
    prof.report(tmp_path / "report.html")
    assert ">optimizer</span>" in (tmp_path / "report.html").read_text()


def test_time_in_a_module_outside_of_its_operations_is_its_own() -> None:
    from tinytorch.profiler.report.frames import frames

    class Slow(Module):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.01)
            return x.exp()

    model = Sequential(Slow())
    with Profiler(model) as prof, prof.region("outside"):
        model(tt.ones(2))
    whole = frames(prof.recording, "Sequential").children["region", "outside"].children["phase", "forward"]
    slow = whole.children["module", "Sequential"].children["module", "0"]
    (exp,) = prof.events
    span = next(span for span in prof.spans if span.name == "0")
    assert slow.own_ns == span.duration - exp.duration >= 10e6


def test_a_report_says_how_many_operations_are_missing(tmp_path: Path) -> None:
    prof = Profiler(limit=2)
    prof._machine = Machine(peak=1e11, bandwidth=2e10)
    with prof:
        for _ in range(5):
            tt.ones(3, 3).exp()
    prof.report(tmp_path / "report.html")
    assert f"{prof.dropped} more are missing" in (tmp_path / "report.html").read_text()


def test_points_of_the_roofline_are_reached_by_keyboard_and_say_their_numbers(prof: Profiler, tmp_path: Path) -> None:
    prof.report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    points = re.findall(r'<circle class="(?:forward|backward)" [^>]*tabindex="0"[^>]* aria-label="([^"]*)"', text)
    assert len(points) == len([row for row in prof.rows() if row.rate and row.intensity])
    assert all(re.fullmatch(r".+: .+FLOP/s, \d+% of the roof at [\d.]+ FLOP per byte, .+", point) for point in points)


def test_links_and_modes_of_replaced_files_stay(prof: Profiler, tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    prof.export_chrome_trace(link)
    assert link.is_symlink()
    assert json.loads(target.read_text())["traceEvents"]
    assert target.stat().st_mode & 0o777 == 0o600


def test_rich_is_imported_only_when_a_table_is_drawn() -> None:
    code = "import sys; from tinytorch.profiler import Profiler; p = Profiler()\n"
    code += "with p: pass\n"
    code += "p.table(); assert 'rich' not in sys.modules; p.rich_table(); assert 'rich' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_failed_write_leaves_the_old_file_and_no_draft(
    prof: Profiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trace.json"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        prof.export_chrome_trace(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_take_the_prefix_that_keeps_three_digits() -> None:
    assert [size(n) for n in (0, 999, 1000, 1023488, 2**20)] == ["0 B", "999 B", "0.977 KiB", "0.976 MiB", "1.00 MiB"]
    assert [short(n) for n in (0, 999, 999.5, 1000, 999_499, 999_500)] == [
        "0",
        "999",
        "1.00 k",
        "1.00 k",
        "999 k",
        "1.00 M",
    ]
    assert [duration(n) for n in (999, 1000, 999_400, 999_500)] == ["999 ns", "1.00 us", "999 us", "1.00 ms"]


def test_machine_is_measured_once() -> None:
    prof = Profiler()
    assert prof.machine() is prof.machine()


def test_machine_is_no_slower_than_a_product_and_a_copy_that_are_timed_here() -> None:
    machine = measure_machine(seconds=0.05, n=256, megabytes=8)
    assert machine.peak > 1e8
    assert machine.bandwidth > 1e8
    ridge = machine.peak / machine.bandwidth
    assert machine.roof(ridge * 2) == machine.peak
    assert machine.roof(ridge / 2) == pytest.approx(machine.peak / 2)
    assert np.isfinite(machine).all()
