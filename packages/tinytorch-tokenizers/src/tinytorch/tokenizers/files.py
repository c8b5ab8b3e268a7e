"""Reading files with a limit, and writing them whole or not at all."""

import json
import os
from typing import Any

from tinytorch.tensor import FileFormatError, replacing

MAX_BYTES = 256 * 2**20


def read_text(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> str:
    """Read a UTF-8 file of at most `limit` bytes.

    Raises OSError when it cannot be read, FileFormatError when it is larger or not UTF-8.
    """
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FileFormatError(f"{path}: larger than {limit:,} bytes, which no tokenizer file is")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FileFormatError(f"the key {twice!r} occurs twice in one object")
    return found


def read_json(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> Any:
    """Read a JSON file of at most `limit` bytes. A key given twice is refused because one of its values would be lost.

    Raises OSError when it cannot be read, FileFormatError when it is larger, malformed or nested beyond reason.
    """
    text = read_text(path, limit)
    try:
        return json.loads(text, object_pairs_hook=_refuse_duplicates)
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"{path}: malformed JSON: {error.msg} at line {error.lineno}, column {error.colno}\n"
            "Is the file complete, and is it the right one?"
        ) from error
    except RecursionError as error:
        raise FileFormatError(f"{path}: JSON nested too deeply for a tokenizer") from error
    except ValueError as error:
        raise FileFormatError(f"{path}: {error}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 file atomically. Raises OSError when it cannot be written; what was there stays."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
