"""Reading files with a limit, and writing them whole or not at all."""

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

MAX_BYTES = 256 * 2**20


def read_text(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> str:
    """Read a UTF-8 file of at most `limit` bytes.

    Raises:
        OSError: when it cannot be read.
        ValueError: when it is larger or not UTF-8.
    """
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path}: larger than {limit:,} bytes; no tokenizer file is")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return found


def read_json(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> Any:
    """Read a JSON file of at most `limit` bytes; a key given twice is refused, for one of its values would be lost.

    Raises:
        OSError: when it cannot be read.
        ValueError: when it is larger, malformed or nested beyond reason.
    """
    text = read_text(path, limit)
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: malformed JSON: {error.msg} at line {error.lineno}, column {error.colno}\n"
            "Is the file complete, and is it the right one?"
        ) from error
    except RecursionError as error:
        raise ValueError(f"{path}: JSON nested too deeply for a tokenizer") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 file atomically: a reader, or a crash, sees the old content or the new one.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    target = Path(path).resolve()
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with open(unfinished, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, unfinished)
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
