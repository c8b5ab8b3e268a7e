"""Operators and modules as tables of the page."""

from __future__ import annotations

from dataclasses import replace
from html import escape

from tinytorch.layers import Module

from ..grouping import OUTSIDE, Row, inside
from ..measures import count_parameters
from ..table import Column, columns

NUMBERS = ("count", "self", "share", "total", "flops", "elementwise", "rate", "bytes", "intensity", "allocated")


def operators(rows: list[Row]) -> str:
    """One row per operator; a click on a title sorts."""
    total = sum(row.self_ns for row in rows)
    known = columns(total)
    titles = [known[key].title for key in ("name", *NUMBERS)]
    body = [
        _bar(row.name, row.self_ns / total if total else 0.0, row.kind)
        + "".join(_number(known[key], row) for key in NUMBERS)
        for row in sorted(rows, key=lambda row: -row.self_ns)
    ]
    return _table(titles, body, "sortable")


def modules(rows: list[Row], model: Module) -> str:
    """The tree of modules that ran, as deep as it is, each with all that is inside it."""
    known = columns(1)
    ran = {row.name: row for row in rows if row.name != OUTSIDE}
    whole = max((row.total_ns for row in ran.values()), default=0) or 1
    body = []
    for name, module in model.named_modules():
        if name not in ran:
            continue
        parts = [other for other in ran.values() if inside(other.name, name)]
        row = replace(ran[name], flops=sum(p.flops for p in parts), allocated=sum(p.allocated for p in parts))
        parents = [other for other in ran if other != name and inside(name, other)]
        label = name.removeprefix(max(parents, key=len, default="")).lstrip(".") or type(model).__name__
        body.append(
            _bar(label, row.total_ns / whole, "both", len(parents))
            + f'<td class="kind">{escape(type(module).__name__)}</td><td>{count_parameters(module):,}</td>'
            + "".join(_number(known[key], row) for key in ("count", "self", "total", "flops", "allocated"))
        )
    return _table(["module", "kind", "parameters", "calls", "self", "total", "FLOP", "allocated"], body)


def _table(titles: list[str], body: list[str], kind: str = "") -> str:
    classes = {"name": "first", "module": "first", "kind": "kind"}
    head = "".join(f'<th class="{classes.get(title, "")}">{escape(title)}</th>' for title in titles)
    rows = "".join(f"<tr>{cells}</tr>" for cells in body)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _number(column: Column, row: Row) -> str:
    value = column.value(row)
    return f'<td data-v="{value}"{"" if value else " class=zero"}>{escape(column.text(value))}</td>'


def _bar(name: str, share: float, kind: str, depth: int = 0) -> str:
    """A name with its share of the time as a bar behind it."""
    return (
        f'<td class="first" data-v="{escape(name)}"><div class="bar {kind}" style="width:{share:.2%}"></div>'
        f'<span style="padding-left:{depth * 1.1:.1f}em">{escape(name)}</span></td>'
    )
