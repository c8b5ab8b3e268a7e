"""Live displays: when to draw, how fast training is, and how long it will take; and progress in one line."""

from __future__ import annotations

import os
import re
import sys
from io import StringIO
from math import inf, nan
from time import monotonic
from typing import IO, TYPE_CHECKING

from tinytorch.tensor import replacing

from .run import Run

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

DECAY = 0.98  # per step, in the average speed: it covers the latest 50 steps or so


class Display:
    """Base of progress displays: a callback of `Trainer`, or used by hand.

    In a terminal what `render()` returns is redrawn at most `refresh_per_second` times per second; elsewhere `line()`
    is printed at most every `interval` seconds, and at the end. By hand: `start`, `update` after every step, `stop`.
    """

    def __init__(
        self, total_steps: int | None = None, title: str = "", console: Console | None = None,
        refresh_per_second: float = 4.0, interval: float = 5.0,
    ) -> None:  # fmt: skip
        self.total_steps = self._given_total = total_steps
        self.title, self.refresh_per_second, self.interval = title, refresh_per_second, interval
        self.unit, self.step, self.loss, self.lr = "samples", 0, nan, nan
        self.measured: dict[str, float] = {}  # in the latest validation
        self._console = console
        self._live: Live | None = None
        self._counted = self._seconds = self._started = 0.0
        self._first_step, self._drawn_step, self._drawn = 0, -1, -inf

    def render(self) -> RenderableType:
        """The picture."""
        raise NotImplementedError(f"{type(self).__name__} has no render(); define it in the class")

    def line(self) -> str:
        """The same in one line of text."""
        of = f"/{self.total_steps}" if self.total_steps is not None else ""
        parts = [f"step {self.step}{of}", f"loss {number(self.loss)}", f"{self.speed:,.0f} {self.unit}/s"]
        parts += [f"{name.replace('_', ' ')} {number(value)}" for name, value in self.measured.items()]
        if self.time_left is not None:
            parts.append(f"{clock(self.time_left)} left")
        return "  ".join([*([self.title] if self.title else []), *parts, f"lr {self.lr:.3g}"])

    def save_svg(self, path: str | os.PathLike[str], title: str = "", width: int = 100) -> None:
        """Save what is shown now as a terminal of `width` columns: an SVG that loads nothing from elsewhere."""
        from rich.console import Console

        recording = Console(record=True, width=width, force_terminal=True, color_system="truecolor", file=StringIO())
        own, self._console = self._console, recording
        try:
            recording.print(self.render())
        finally:
            self._console = own
        picture = re.sub(r"@font-face \{.*?\}", "", recording.export_svg(title=title), flags=re.DOTALL)
        with replacing(path) as draft:
            draft.write_text(picture, encoding="utf-8")

    @property
    def console(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console()
        return self._console

    @property
    def speed(self) -> float:
        """Samples or tokens per second of training, over the latest steps."""
        return self._counted / self._seconds if self._seconds else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._started

    @property
    def time_left(self) -> float | None:
        """Seconds to the last step, at the pace since the start; None while it cannot be known."""
        done = self.step - self._first_step
        if self.total_steps is None or done < 2:  # the first step of a run takes longer
            return None
        return self.elapsed / done * max(self.total_steps - self.step, 0)

    def start(self, step: int = 0, total_steps: int | None = None, unit: str = "samples") -> None:
        """Begin to draw, after `step` steps have been done."""
        self.step = self._first_step = step
        self.total_steps = self._given_total if self._given_total is not None else total_steps
        self.unit, self._started, self._drawn, self._drawn_step = unit, monotonic(), -inf, -1
        if self._in_terminal():
            from rich.live import Live

            self._live = Live(console=self.console, auto_refresh=False, get_renderable=self.render)
            self._live.start()

    def update(self, step: int, loss: float, lr: float, count: float, seconds: float) -> None:
        """Take in a step: its number, loss, learning rate, samples or tokens, and seconds."""
        self.step, self.loss, self.lr = step, loss, lr
        self._counted = DECAY * self._counted + count
        self._seconds = DECAY * self._seconds + seconds
        now = monotonic()
        if now - self._drawn >= (self.interval if self._live is None else 1 / self.refresh_per_second):
            self._drawn = now
            self.draw()

    def draw(self) -> None:
        """Show how things stand, now."""
        if self._live is not None:
            self._live.refresh()
        else:
            self._drawn_step = self.step
            self.write(self.line())

    def write(self, line: str) -> None:
        """Print one plain line, with question marks for letters that the output cannot show."""
        file, encoding = self._output()
        print(line.encode(encoding, "replace").decode(encoding), file=file, flush=True)

    def _output(self) -> tuple[IO[str], str]:
        file = sys.stdout if self._console is None else self._console.file
        return file, getattr(file, "encoding", None) or "utf-8"

    def _in_terminal(self) -> bool:
        """Whether there is a terminal that can show the characters of pictures."""
        file, encoding = self._output()
        if not encoding.lower().startswith("utf") or (self._console is None and not file.isatty()):
            return False
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def stop(self) -> None:
        """Draw for the last time and leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()  # draws once more
            self._live = None
        elif self.step > self._first_step and self._drawn_step != self.step:
            self.draw()

    def on_fit_start(self, run: Run) -> None:
        self.start(run.step, run.total_steps, run.unit)

    def on_step_end(self, run: Run) -> None:
        self.update(run.step, run.loss, run.lr, run.counted, run.seconds)

    def on_validation_end(self, run: Run) -> None:
        names = [name for name in run.history.columns if name.startswith("valid_")]
        self.measured = {name: run.history.last(name) for name in names}

    def on_fit_end(self, run: Run) -> None:
        self.stop()


class ProgressLine(Display):
    """What `Trainer.fit` shows by default: a bar, loss, speed, and time left."""

    def render(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Column, Table
        from rich.text import Text

        row = Table.grid(*(Column(no_wrap=True) for _ in range(3)), padding=(0, 1))
        bar = ProgressBar(total=self.total_steps, completed=self.step, width=24, pulse=self.total_steps is None)
        row.add_row(bar, clock(self.elapsed), Text(self.line(), overflow="ellipsis"))
        return row


def number(value: float) -> str:
    """A measured value, short.

    >>> number(2.34567), number(0.000123456), number(123456.0)
    ('2.346', '1.23e-04', '1.23e+05')
    """
    return f"{value:.3f}" if 0.001 <= abs(value) < 10000 or value == 0 else f"{value:.2e}"


def clock(seconds: float) -> str:
    """A duration as on a clock.

    >>> clock(7), clock(75), clock(3675)
    ('0:07', '1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
