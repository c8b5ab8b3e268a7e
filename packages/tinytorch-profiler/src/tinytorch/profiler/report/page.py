"""The page as a whole. Styles and script are files beside this one, and are written into the page."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from ..machine import Machine
from ..units import duration, short, size
from .flame import flame
from .frames import frames
from .roofline import roofline
from .tables import modules, operators
from .timeline import timeline

if TYPE_CHECKING:
    from ..profiler import Profiler

KEY = (
    '<span class="key"><span><i class="forward"></i>forward</span><span><i class="backward"></i>backward</span></span>'
)


def page(prof: Profiler, machine: Machine) -> str:
    """All that `prof` measured, as HTML that asks no network for anything."""
    model = "" if prof.model is None else type(prof.model).__name__
    rows = prof.rows("operator")
    title = f"Profile of {model}" if model else "Profile"
    sections = [
        _section(
            "Where the time went",
            "Each box is as wide as the time that it took, with what it is made of below it. A click widens a box.",
            flame(frames(prof.recording, model)),
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
    if prof.model is not None:
        sections.append(
            _section(
                "Modules",
                "Each with all that is inside it. The time is that of forward, Python included, and of the gradient "
                "rules of what ran there.",
                f'<div class="wide">{modules(prof.rows("module"), prof.model)}</div>',
            )
        )
    sections += [
        _section(
            "Memory",
            "Bytes alive of the arrays that operations made: results, what they saved for the backward, gradients.",
            timeline(prof.recording),
            KEY,
        ),
        _section(
            "Roofline",
            "What each operator reached, by how much it computes for each byte it moves. The line is the best that was "
            "measured on this machine: a large matrix product, and a copy of a large array. Below the slope memory "
            "limits, below the flat the processor does; operands that are still in a cache can lift a point above the "
            "slope. Larger points took more time.",
            roofline(rows, machine),
            KEY,
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_file('page.css')}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{_tiles(prof, machine)}\n{''.join(sections)}</main>\n"
        f"<script>\n{_file('page.js')}</script>\n</body>\n</html>\n"
    )


def _section(title: str, explanation: str, content: str, key: str = "") -> str:
    return f"<section>\n<h2>{title}{key}</h2>\n<p>{explanation}</p>\n<div>{content}</div>\n</section>\n"


def _tiles(prof: Profiler, machine: Machine) -> str:
    total, everything = prof.total_ns, prof.flops + prof.elementwise_flops
    rate = everything / total * 1e9 if total else 0.0
    missing = f"not counted: {', '.join(sorted(prof.not_counted))}" if prof.not_counted else "every operator counted"
    tiles = [
        ("time in operations", duration(total), f"of {duration(prof.wall_ns)} in all"),
        ("operations", f"{len(prof.events):,}", f"{sum(e.needs is not None for e in prof.events):,} of them backward"),
        ("products", short(prof.flops, "FLOP"), f"and {short(prof.elementwise_flops, 'FLOP')} elementwise"),
        ("speed", short(rate, "FLOP/s"), f"{rate / machine.peak:.0%} of a large matrix product"),
        ("memory at its peak", size(prof.peak_memory), missing),
    ]
    cells = (
        f'<div class="tile"><span>{a}</span><b>{escape(b)}</b><small>{escape(c)}</small></div>' for a, b, c in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
