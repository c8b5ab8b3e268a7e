"""A live picture of a training run: loss curve, speed, time left, and sample answers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .chart import braille
from .display import Display, clock, number
from .run import Run

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

Row = tuple[str, str] | tuple[str, str, bool]


class Dashboard(Display):
    """A panel with the loss curve, numbers, and sample answers; plain lines where there is no terminal.

    Give it to `Trainer.fit(progress=...)`. A callback that asks the model questions shows the answers by
    `show_samples([(question, answer), ...])`; a third entry says whether the answer is right, and colors it.
    """

    def __init__(
        self, total_steps: int | None = None, title: str = "Training", console: Console | None = None,
        refresh_per_second: float = 4.0, interval: float = 5.0, height: int = 8,
        heads: tuple[str, str] = ("question", "answer"),
    ) -> None:  # fmt: skip
        super().__init__(total_steps, "", console, refresh_per_second, interval)
        self.heading, self.height, self.heads = title, height, heads
        self.losses = array("d")
        self.samples: list[Row] = []

    def on_fit_start(self, run: Run) -> None:
        self.losses = array("d", run.history["loss"] if run.step else ())
        super().on_fit_start(run)

    def update(self, step: int, loss: float, lr: float, count: float, seconds: float) -> None:
        self.losses.append(loss)
        super().update(step, loss, lr, count, seconds)

    def show_samples(self, rows: Sequence[Row]) -> None:
        """Show what the model says now: (question, answer) or (question, answer, right)."""
        self.samples = [(printable(row[0]), printable(row[1]), *row[2:]) for row in rows]
        if self._live is not None:
            self.draw()
        else:
            for row in self.samples:
                mark = "" if len(row) == 2 else "  (right)" if row[2] else "  (wrong)"
                self.write(f"  {row[0]}  ->  {row[1]}{mark}")

    def render(self) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Column, Table

        known = self.total_steps is not None
        progress = Table.grid(Column(ratio=1), Column(no_wrap=True, justify="right"), padding=(0, 2), expand=True)
        bar = ProgressBar(total=self.total_steps, completed=self.step, pulse=not known)
        progress.add_row(bar, f"step {self.step:,} of {self.total_steps:,}" if known else f"step {self.step:,}")
        width = max(self.console.width - 48, 16)
        body = Table.grid(Column(no_wrap=True, width=width + 9), Column(no_wrap=True), padding=(0, 2))
        body.add_row(self._chart(width), self._numbers())
        parts: list[RenderableType] = [progress, "", body]
        if self.samples:
            parts += ["", self._answers()]
        return Panel(Group(*parts), title=self.heading, border_style="cyan", padding=(0, 1))

    def _chart(self, width: int) -> RenderableType:
        from rich.text import Text

        part = min(self.step / self.total_steps, 1.0) if self.total_steps else 1.0
        lines, low, high = braille(self.losses, width, self.height, part)
        if log := high > 20 * low > 0:  # where a linear axis would show a flat line
            lines, low, high = braille(self.losses, width, self.height, part, log)
        labels = {self.height // 2: "log" if log else "", self.height - 1: number(low), 0: number(high)}
        named = [(f"{labels.get(place, ''):>8} ", line) for place, line in enumerate(lines)]
        return Text("\n").join(Text.assemble((label, "dim"), (line, "green")) for label, line in named)

    def _numbers(self) -> Table:
        from rich.table import Column, Table

        grid = Table.grid(Column(style="dim", no_wrap=True), Column(justify="right", no_wrap=True), padding=(0, 1))
        grid.add_row("loss", number(self.loss), style="bold")
        for name, value in self.measured.items():
            grid.add_row(name.replace("_", " "), number(value))
        grid.add_row(f"{self.unit}/s", f"{self.speed:,.0f}")
        grid.add_row("elapsed", clock(self.elapsed))
        grid.add_row("time left", clock(self.time_left) if self.time_left is not None else "-")
        grid.add_row("learning rate", f"{self.lr:.2e}")
        return grid

    def _answers(self) -> Table:
        from rich.table import Column, Table
        from rich.text import Text

        columns = [Column(ratio=ratio, no_wrap=True, overflow="ellipsis") for ratio in (2, 3)]
        table = Table.grid(*columns, padding=(0, 2), expand=True)
        table.add_row(Text(self.heads[0], style="dim"), Text(self.heads[1], style="dim"))
        for row in self.samples:
            style = "yellow" if len(row) == 2 or not row[2] else "green"
            table.add_row(Text(row[0]), Text(row[1], style=style))
        return table


def printable(text: str) -> str:
    """`text` on one line, without characters that would move the cursor: an untrained model writes anything.

    >>> printable("a\\nb\\x1b[2J")
    'a b [2J'
    """
    return "".join(character if character.isprintable() else " " for character in text)
