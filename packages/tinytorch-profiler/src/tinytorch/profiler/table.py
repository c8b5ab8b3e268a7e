"""The table of operators, modules or shapes, as text and for rich."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .grouping import Row
from .units import duration, short, size

if TYPE_CHECKING:
    from rich.table import Table


class Column(NamedTuple):
    title: str
    value: Callable[[Row], Any]
    text: Callable[[Any], str]


def columns(total_ns: int) -> dict[str, Column]:
    """What can be shown, and sorted by; `total_ns` is what shares are shares of."""
    return {
        "name": Column("name", lambda row: row.name, str),
        "count": Column("calls", lambda row: row.count, str),
        "self": Column("self", lambda row: row.self_ns, duration),
        "share": Column("share", lambda row: row.self_ns / total_ns if total_ns else 0.0, "{:.1%}".format),
        "total": Column("total", lambda row: row.total_ns, duration),
        "flops": Column("FLOP", lambda row: row.flops, short),
        "elementwise": Column("elementwise", lambda row: row.elementwise, short),
        "rate": Column("FLOP/s", lambda row: row.rate, short),
        "bytes": Column("bytes moved", lambda row: row.read + row.written, size),
        "intensity": Column("FLOP/byte", lambda row: row.intensity, "{:.2f}".format),
        "allocated": Column("allocated", lambda row: row.allocated, size),
        "peak": Column("peak", lambda row: row.peak, size),
    }


NARROW = ("name", "count", "self", "share", "flops", "rate")
"""The columns that fit a terminal."""


def arranged(
    rows: list[Row], sort_by: str, limit: int | None, chosen: Sequence[str] | None
) -> tuple[list[Row], list[Column]]:
    """The largest rows first (names in their order), `limit` of them, and the columns to show.

    Raises ValueError for a column that does not exist.
    """
    known = columns(sum(row.self_ns for row in rows))
    for name in (sort_by, *(chosen or ())):
        if name not in known:
            raise ValueError(f"table: there is no column {name!r}; sort_by and columns name {', '.join(known)}")
    ordered = sorted(rows, key=known[sort_by].value, reverse=sort_by != "name")
    return ordered if limit is None else ordered[: max(limit, 0)], [known[name] for name in chosen or known]


def text_table(
    rows: list[Row], sort_by: str = "self", limit: int | None = None, chosen: Sequence[str] | None = None
) -> str:
    """Aligned text, one row per line."""
    shown, columns = arranged(rows, sort_by, limit, chosen)
    cells = [[column.title for column in columns]]
    cells += [[column.text(column.value(row)) for column in columns] for row in shown]
    return "\n".join(align(cells))


def align(cells: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines with columns of equal width and a rule below the titles; all but the first `left` columns stand right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [cell.ljust(n) for cell, n in zip(row[:left], widths, strict=False)]
        padded += [cell.rjust(n) for cell, n in zip(row[left:], widths[left:], strict=True)]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * n for n in widths))
    return lines


def rich_table(
    rows: list[Row], sort_by: str, limit: int | None, chosen: Sequence[str] | None, title: str, caption: str
) -> Table:
    """The same for `rich.print`."""
    from rich.table import Table  # imported where it is drawn: measuring does not need it

    shown, columns = arranged(rows, sort_by, limit, chosen)
    table = Table(title=title, caption=caption, header_style="bold", title_justify="left", caption_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column.title, justify="right" if place else "left", no_wrap=True)
    for row in shown:
        table.add_row(*[column.text(column.value(row)) for column in columns])
    return table
