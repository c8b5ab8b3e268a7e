"""Every benchmark by its name."""

from __future__ import annotations

from . import allocator, dispatch, gpt, mlp
from .entry import Entry


def entries() -> dict[str, Entry]:
    return {entry.name: entry for module in (dispatch, mlp, gpt, allocator) for entry in module.ENTRIES}


def find(name: str) -> Entry:
    return entries()[name]
