"""Every benchmark by its name."""

from __future__ import annotations

from . import accelerated, adam, allocator, decode, decode_compiled, dispatch, gpt, loader, mlp, spatial
from .entry import Entry, Step

MODULES = (dispatch, mlp, gpt, spatial, decode, decode_compiled, adam, loader, allocator, accelerated)


def entries() -> dict[str, Entry]:
    return {entry.name: entry for module in MODULES for entry in module.ENTRIES}


def step(name: str, side: str) -> Step:
    """What the process of one side runs."""
    entry = entries()[name]
    return entry.ours() if side == "ours" else entry.peer()
