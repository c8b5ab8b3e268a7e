"""Progress in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .display import Display, clock

if TYPE_CHECKING:
    from rich.console import RenderableType


class ProgressLine(Display):
    """What `Trainer.fit` shows by default: a bar, loss, speed, and time left."""

    def render(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        row = Table.grid(padding=(0, 1), expand=False)
        for _ in range(3):
            row.add_column(no_wrap=True)
        bar = ProgressBar(total=self.total_steps, completed=self.step, width=24, pulse=self.total_steps is None)
        row.add_row(bar, clock(self.elapsed), Text(self.line(), overflow="ellipsis"))
        return row
