"""Tables for a terminal. Names come from files: they are shown as they are, never as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 120


def titled(title: str, under: str, columns: list[str]) -> Table:
    """An empty table: the first column stands left, the others right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=Text(title), caption=Text(under), title_justify="left", caption_justify="left")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place else "left", no_wrap=True)
    return made


def text(table: Table, width: int = WIDTH) -> str:
    """A table as plain text."""
    from rich.console import Console

    console = Console(width=width, color_system=None, highlight=False, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
