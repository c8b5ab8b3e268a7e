"""Every benchmark by its name."""

from __future__ import annotations

from . import adam, allocator, decode, dispatch, gpt, loader, mlp, spatial
from .entry import Entry

MODULES = (dispatch, mlp, gpt, spatial, decode, adam, loader, allocator)


def entries() -> dict[str, Entry]:
    return {entry.name: entry for module in MODULES for entry in module.ENTRIES}


def find(name: str) -> Entry:
    return entries()[name]
