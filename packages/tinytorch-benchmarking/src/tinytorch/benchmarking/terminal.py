"""Tables for a terminal. Names come from files: they are shown as they are, never as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

WIDTH = 120


def columns(*titles: str) -> Table:
    """An empty table: the first column stands left, the others right."""
    from rich.table import Table  # imported where it is drawn: measuring does not need it

    made = Table()
    for place, title in enumerate(titles):
        made.add_column(title, justify="right" if place else "left", no_wrap=True)
    return made


def framed(title: str, table: Table, under: str) -> RenderableType:
    """A table below its title and above what must be known about it."""
    from rich.console import Group
    from rich.text import Text

    return Group(Text(title, "bold"), table, Text(under, "italic"))


def text(shown: RenderableType, width: int = WIDTH) -> str:
    """The same as plain text."""
    from rich.console import Console

    console = Console(width=width, color_system=None, highlight=False, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(shown)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
