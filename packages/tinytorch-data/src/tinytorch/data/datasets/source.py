"""Real code on every machine: the source of Python's own standard library."""

from __future__ import annotations

import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tinytorch.tensor import check_int

NOT_PROSE = {"test", "tests", "idlelib", "lib2to3", "ensurepip", "__pycache__", "site-packages"}


def python_source(max_chars: int = 1_000_000) -> str:
    """The source text of the standard library, module after module by name, at most `max_chars` characters.

    The same on every machine with the same Python: only modules of the standard library, without its tests. The text
    ends at the end of a line. Raises ValueError when `max_chars` is below 1, FileNotFoundError where Python came
    without its source.

    >>> text = python_source(max_chars=10_000)
    >>> 9_000 < len(text) <= 10_000, "def " in text
    (True, True)
    """
    check_int("python_source", "max_chars", max_chars, 1)
    folder = Path(sysconfig.get_path("stdlib"))
    parts: list[str] = []
    length = 0
    for path in modules(folder):
        with tokenize.open(path) as file:
            parts.append(file.read())
        length += len(parts[-1])
        if length > max_chars:
            break
    if not parts:
        raise FileNotFoundError(f"python_source: no .py files in {folder}; use a Python that ships its source")
    text = "".join(parts)
    return text if length <= max_chars else text[: text.rfind("\n", 0, max_chars) + 1]


def modules(folder: Path) -> Iterator[Path]:
    """The `.py` files of the standard library in `folder`, by name, a package where its name stands."""
    for entry in sorted(folder.iterdir(), key=lambda path: path.stem):
        if entry.stem in sys.stdlib_module_names and entry.name not in NOT_PROSE:
            yield from _files(entry)


def _files(entry: Path) -> Iterator[Path]:
    if entry.suffix == ".py":
        yield entry
    elif entry.is_dir() and entry.name not in NOT_PROSE:
        for inner in sorted(entry.iterdir(), key=lambda path: path.name):
            yield from _files(inner)
