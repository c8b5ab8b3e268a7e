"""What is shown while training: in a terminal, and where there is none."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tinytorch.training import Dashboard, Display, ProgressLine, Run, braille
from tinytorch.training.display import clock, number

from .problems import pairs, trainer


def terminal(width: int = 100) -> Console:
    return Console(force_terminal=True, width=width, height=40, file=io.StringIO(), color_system=None)


def plain(width: int = 80) -> Console:
    return Console(force_terminal=False, width=width, file=io.StringIO())


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def picture(display: Display, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(display.render())
    return text(console)


def run(display: Display, steps: int = 30, start: int = 0) -> None:
    """As if each step took a tenth of a second for 64 tokens."""
    display.start(step=start, total_steps=2 * steps, unit="tokens")
    for step in range(start + 1, start + steps + 1):
        display.update(step, loss=3.0 / step, lr=0.001, count=64, seconds=0.1)


def test_the_dashboard_shows_everything_asked_of_it() -> None:
    dashboard = Dashboard(title="TinyTalks", console=terminal())
    run(dashboard)
    dashboard.measured = {"valid_loss": 0.25}
    dashboard.show_samples([("what is snow?", "frozen water", True), ("who are you?", "cat", False), ("hm?", "a")])
    seen = picture(dashboard)
    dashboard.stop()
    for part in (
        "TinyTalks", "step 30 of 60", "loss", "0.100", "valid loss", "0.250", "tokens/s", "640", "elapsed",
        "time left", "learning rate", "1.00e-03", "what is snow?", "frozen water", "who are you?", "cat",
    ):  # fmt: skip
        assert part in seen, part
    assert any("\u2801" <= character <= "\u28ff" for character in seen)


@pytest.mark.parametrize("width", [40, 60, 100, 200])
@pytest.mark.parametrize("make", [Dashboard, ProgressLine])
def test_no_line_is_wider_than_the_terminal(make: Any, width: int) -> None:
    display = make(console=terminal(width))
    run(display)
    if isinstance(display, Dashboard):
        display.show_samples([("why? " * 50, "because " * 50)])
    lines = picture(display, width).splitlines()
    display.stop()
    assert max(map(len, lines)) <= width
    assert len(lines) < 20


def test_right_answers_are_green_and_others_yellow() -> None:
    console = Console(width=100, file=io.StringIO(), force_terminal=True, color_system="standard")
    dashboard = Dashboard(console=plain())
    dashboard.show_samples([("a?", "yes", True), ("b?", "no", False), ("c?", "perhaps")])
    console.print(dashboard.render())
    for answer, color in (("yes", 32), ("no", 33), ("perhaps", 33)):
        assert f"\x1b[{color}m{answer}" in text(console)


def test_samples_cannot_move_the_cursor_or_style_the_text() -> None:
    dashboard = Dashboard(console=terminal())
    run(dashboard)
    dashboard.show_samples([("a\x1b[2Jb", "c\nd[bold]e[/bold]\r")])
    seen = picture(dashboard)
    dashboard.stop()
    assert "\x1b[2J" not in seen
    assert "a [2Jb" in seen
    assert "c d[bold]e[/bold]" in seen


def test_without_a_terminal_lines_are_printed_now_and_then() -> None:
    dashboard = Dashboard(title="TinyTalks", console=plain(), interval=3600)
    run(dashboard)
    dashboard.show_samples([("what is snow?", "frozen water", True), ("hm?", "a")])
    dashboard.stop()
    lines = text(dashboard.console).splitlines()
    assert len(lines) == 4  # the first step, two answers, the last step
    assert lines[0].startswith("step 1/60  loss 3.000  640 tokens/s")
    assert lines[1:3] == ["  what is snow?  ->  frozen water  (right)", "  hm?  ->  a"]
    assert lines[3].startswith("step 30/60  loss 0.100  640 tokens/s  0:00 left")
    assert "\x1b" not in text(dashboard.console)


def test_a_display_is_a_callback_of_the_trainer() -> None:
    for console in (terminal(), plain()):
        display = ProgressLine(console=console)
        trained = trainer()
        trained.fit(pairs(), pairs(1), epochs=2, progress=display)
        assert "step 10/10" in text(console)
        assert "valid loss" in text(console)
        assert display.measured == {"valid_loss": trained.run.history.last("valid_loss")}


def test_the_terminal_is_given_back_when_training_fails() -> None:
    console = terminal()

    def fail(trained: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        trainer(callbacks=[fail]).fit(pairs(), steps=3, progress=Dashboard(console=console))
    shown = text(console)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is hidden, then shown


def test_fit_prints_nothing_when_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    trainer().fit(pairs(), steps=3, progress=False)
    assert capsys.readouterr() == ("", "")
    trainer().fit(pairs(), steps=3)
    assert capsys.readouterr().out.splitlines()[-1].startswith("step 3/3")


def test_time_left_counts_from_where_training_was_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("tinytorch.training.display.monotonic", lambda: now[0])
    display = ProgressLine(console=plain())
    display.start(step=90, total_steps=100)
    for step in range(91, 96):
        now[0] += 2.0
        display.update(step, 1.0, 0.1, 32, 1.0)
    assert display.time_left == pytest.approx(10.0)
    assert display.speed == pytest.approx(32.0)


def shown_at(display: Display, monkeypatch: pytest.MonkeyPatch, began: float = 100.0) -> list[float]:
    """When a display is drawn, by a clock that counts 1,000 steps of a hundredth of a second."""
    now = [began]
    monkeypatch.setattr("tinytorch.training.display.monotonic", lambda: now[0])
    drawn: list[float] = []
    monkeypatch.setattr(display, "draw", lambda: drawn.append(now[0]))
    display.start()
    for step in range(1, 1001):
        now[0] += 0.01
        display.update(step, 1.0, 0.1, 32, 0.01)
    return drawn


@pytest.mark.parametrize(
    "display",
    [ProgressLine(console=plain(), interval=0.25), ProgressLine(console=terminal(), refresh_per_second=4.0)],
    ids=["lines by interval", "terminal by refresh_per_second"],
)
def test_a_display_is_drawn_as_often_as_was_asked(display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list(shown_at(display, monkeypatch))  # not what is drawn at the end
    display.stop()
    assert len(drawn) == pytest.approx(40, abs=2)
    assert all(later - earlier >= 0.25 for earlier, later in pairwise(drawn))


def test_the_first_step_is_shown_on_a_machine_that_has_just_booted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_at(ProgressLine(console=plain(), interval=3600), monkeypatch, began=0.0) == [0.01]


def test_showing_draws_only_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinytorch.training.display.monotonic", lambda: 100.0)
    dashboard = Dashboard(console=terminal())
    rendered: list[int] = []
    monkeypatch.setattr(dashboard, "render", lambda: rendered.append(dashboard.step) or "")
    dashboard.start(total_steps=10**6)
    before = len(rendered)
    for step in range(1, 1001):
        dashboard.update(step, 1.0 / step, 0.1, 32, 0.001)
    assert len(rendered) - before == 1
    dashboard.stop()


def test_samples_are_shown_at_once() -> None:
    console = terminal()
    dashboard = Dashboard(console=console, refresh_per_second=0.001)
    run(dashboard)
    dashboard.show_samples([("what is snow?", "frozen water")])
    assert "frozen water" in text(console)
    dashboard.stop()


class Ascii(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii", write_through=True)

    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode("ascii")


@pytest.mark.parametrize("force_terminal", [True, False])
def test_an_output_that_is_not_utf_8_gets_lines_of_letters_that_it_has(force_terminal: bool) -> None:
    file = Ascii()
    dashboard = Dashboard(title="caf\u00e9", console=Console(file=file, force_terminal=force_terminal))
    run(dashboard)
    dashboard.show_samples([("what is caf\u00e9?", "\u2603", True)])
    dashboard.stop()
    assert "  what is caf??  ->  ?  (right)" in file.text().splitlines()
    assert "\x1b" not in file.text()


WITHOUT_RICH = """
import sys
sys.modules["rich"] = None
sys.path.insert(0, {tests!r})
from problems import pairs, trainer
trainer().fit(pairs(), steps=3)
"""


def test_lines_need_no_rich() -> None:
    script = WITHOUT_RICH.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("step 3/3")


@pytest.mark.parametrize("height", [7, 8])
def test_a_logarithmic_axis_says_so(height: int) -> None:
    for losses, labels in (([1000.0, 1.0], 1), ([2.0, 1.0], 0)):
        dashboard = Dashboard(console=plain(), height=height)
        for step, loss in enumerate(losses, start=1):
            dashboard.update(step, loss, 0.1, 32, 0.1)
        lines = picture(dashboard).splitlines()
        assert len([line for line in lines if " log " in line]) == labels


def test_after_resuming_the_curve_holds_the_losses_before() -> None:
    first = trainer()
    data = pairs()
    first.fit(data, steps=7, progress=False)
    dashboard = Dashboard(console=plain())
    history = first.fit(data, steps=12, progress=dashboard)
    np.testing.assert_array_equal(dashboard.losses, history["loss"])


def test_the_terminal_is_given_back_when_a_callback_fails_at_the_end() -> None:
    class Failing:
        def on_fit_end(self, run: Run) -> None:
            raise LookupError("at the end")

    console = terminal()
    with pytest.raises(LookupError, match="at the end"):
        trainer(callbacks=[Failing()]).fit(pairs(), steps=3, progress=Dashboard(console=console))
    shown = text(console)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60),
       width=st.integers(1, 30), height=st.integers(1, 6), part=st.floats(0, 1), log=st.booleans())  # fmt: skip
def test_a_curve_of_any_values_fills_its_box(
    values: list[float], width: int, height: int, part: float, log: bool
) -> None:
    lines, low, high = braille(values, width, height, part, log)
    assert [len(line) for line in lines] == [width] * height
    assert all("\u2800" <= character <= "\u28ff" for line in lines for character in line)
    assert low <= high


def test_a_falling_curve_falls_from_corner_to_corner() -> None:
    lines, low, high = braille(list(np.linspace(5, 1, 100)), width=20, height=4)
    assert (low, high) == pytest.approx((1.0, 5.0), abs=0.2)
    assert lines[0][0] != "\u2800"
    assert lines[0][-1] == lines[-1][0] == "\u2800"
    assert lines[-1][-1] != "\u2800"
    half, _, _ = braille([5.0, 1.0], width=20, height=4, part=0.5)
    assert {line[10:] for line in half} == {"\u2800" * 10}


def test_a_logarithmic_curve_makes_powers_a_straight_line() -> None:
    powers, low, high = braille([1000.0, 100.0, 10.0, 1.0], width=2, height=1, log=True)
    assert powers == braille([3.0, 2.0, 1.0, 0.0], width=2, height=1)[0]
    assert (low, high) == pytest.approx((1.0, 1000.0))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=300), st.integers(1, 40))
def test_a_column_shows_the_mean_of_its_values(values: list[float], width: int) -> None:
    columns = 2 * width
    cuts = [x * len(values) // columns for x in range(columns + 1)]
    means = [np.mean(values[a : max(b, a + 1)]) for a, b in pairwise(cuts)]
    lines, low, high = braille(values, width, 2)
    assert (low, high) == pytest.approx((min(means), max(means)), abs=1e-9)
    if high - low > 1e-6:
        assert lines == braille(means, width, 2)[0]


def test_numbers_and_durations_stay_short() -> None:
    assert max(len(number(value)) for value in (0.0, 1e-300, 9999.5, 12345.6, 1e300, float("nan"))) <= 9
    assert [clock(seconds) for seconds in (0.4, 59.6, 3599, 360000)] == ["0:00", "1:00", "59:59", "100:00:00"]
