"""The page as a whole. Styles and script are files in this folder, and are written into the page."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from tinytorch.layers import Module

from ..events import Recording, wall
from ..grouping import Row, by_module, by_operator, not_counted, total
from ..machine import Machine
from ..units import duration, short, size
from ..watch import OPERATIONS
from .flame import flame
from .frames import frames
from .roofline import roofline
from .tables import modules, operators
from .timeline import timeline

KEY = "".join(f'<span><i class="{kind}"></i>{kind}</span>' for kind in OPERATIONS)
KEY = f'<span class="key">{KEY}</span>'


def page(recording: Recording, model: Module | None, machine: Machine) -> str:
    """All that was recorded, as HTML that loads nothing from a network."""
    name = "" if model is None else type(model).__name__
    rows = by_operator(recording)
    title = f"Profile of {name}" if name else "Profile"
    sections = [
        _section(
            "Where the time went",
            "Each box is as wide as the time that it took, with what it is made of below it. A click widens a box.",
            flame(frames(recording, name)),
            KEY,
        ),
        _section(
            "Operators",
            "Self time is without the operations inside. FLOP are those of products (matrix products, convolutions, "
            "attention), a multiply-add as 2; FLOP/s takes both kinds. A click on a title sorts.",
            f'<div class="wide">{operators(rows)}</div>',
            KEY,
        ),
    ]
    if model is not None:
        sections.append(
            _section(
                "Modules",
                "Each with all that is inside it. The time is that of forward, Python included, and of the gradient "
                "rules of what ran there.",
                f'<div class="wide">{modules(by_module(recording), model)}</div>',
            )
        )
    sections += [
        _section(
            "Memory",
            "Bytes alive: results, what was saved for the backward, gradients, and the state of optimizers.",
            f'<div class="wide">{timeline(recording)}</div>',
            KEY,
        ),
        _section(
            "Roofline",
            "What each operator reached, against how much it computes per byte moved. The line is the best that was "
            "measured on this machine: a large matrix product, and a copy of a large array. Below the slope, memory "
            "is the limit; below the flat part, the processor. Operands that are still in a cache can lift a point "
            "above the slope. Larger points took more time. Click a point, or reach it with the tab key, to read its "
            "numbers.",
            f'<div class="wide">{roofline(rows, machine)}</div><p class="tip" aria-live="polite"></p>',
            KEY,
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_file('page.css')}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{_tiles(recording, total(recording.events), machine)}\n{''.join(sections)}</main>\n"
        f"<script>\n{_file('page.js')}</script>\n</body>\n</html>\n"
    )


def _section(title: str, explanation: str, content: str, key: str = "") -> str:
    return f"<section>\n<h2>{title}{key}</h2>\n<p>{explanation}</p>\n<div>{content}</div>\n</section>\n"


def _tiles(recording: Recording, everything: Row, machine: Machine) -> str:
    missing = ", ".join(sorted(not_counted(recording.events)))
    counted = f"not counted: {missing}" if missing else "every operator counted"
    note = f"{sum(event.needs is not None for event in recording.events):,} of them backward"
    note += f"; {recording.dropped:,} more are missing" if recording.dropped else ""
    share = f"{everything.rate / machine.peak:.0%} of a large matrix product"
    tiles = [
        ("time in operations", duration(everything.self_ns), f"of {duration(wall(recording.spans))} in all"),
        ("operations", f"{everything.count:,}", note),
        ("products", short(everything.flops, "FLOP"), f"and {short(everything.elementwise, 'FLOP')} elementwise"),
        ("speed", short(everything.rate, "FLOP/s"), share),
        ("memory at its peak", size(everything.peak), counted),
    ]
    cells = (
        f'<div class="tile"><span>{a}</span><b>{escape(b)}</b><small>{escape(c)}</small></div>' for a, b, c in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
