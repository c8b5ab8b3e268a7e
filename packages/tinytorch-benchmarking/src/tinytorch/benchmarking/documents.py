"""JSON files with a schema: written in one step, read with limits, and believed only after they were checked."""

from __future__ import annotations

import json
import math
import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from tinytorch.tensor import FileFormatError, replacing

LARGEST = 64 * 2**20  # bytes of a file


def write(path: str | os.PathLike[str], document: Any, schema: str) -> None:
    """Check a document against the schema of that name and write it; `path` is replaced in one step.

    Raises FileFormatError when the document does not fit the schema: then nothing is written.
    """
    validate(document, schema, "save")
    with replacing(path) as draft:
        draft.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read(path: str | os.PathLike[str], schema: str) -> Any:
    """The document in a file, which fits the schema of that name.

    Raises OSError when it cannot be read, FileFormatError when it is too large, not JSON, ambiguous (a key that comes
    twice), holds numbers that are not finite, or does not fit the schema.
    """
    with Path(path).open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise FileFormatError(f"{path}: the file has more than {LARGEST:,} bytes, which no file of results needs")
    try:
        document = json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refused, parse_float=_finite
        )
    except RecursionError:
        raise FileFormatError(f"{path}: lists or objects are nested too deeply to be results") from None
    except ValueError as error:  # of json, of the text's encoding, and of the hooks below
        raise FileFormatError(f"{path}: not a file of results: {_one_line(error)}") from None
    validate(document, schema, str(path))
    return document


def validate(document: Any, schema: str, owner: str) -> None:
    """Raise FileFormatError, which says where and why, when the document does not fit; `owner` begins the message."""
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

    error = best_match(_validator(schema).iter_errors(document))
    if error is not None:
        where = "".join(f"[{part!r}]" if isinstance(part, str) else f"[{part}]" for part in error.absolute_path)
        message = error.message if len(error.message) < 200 else f"{error.message[:200]} ..."
        raise FileFormatError(f"{owner}: {where or 'the document'} does not fit the schema {schema!r}: {message}")


@cache
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator, validators  # type: ignore[import-untyped]
    from referencing import Registry, Resource

    known = {name: json.loads(schema_text(name)) for name in SCHEMAS}
    resources = [(f"{name}.json", Resource.from_contents(document)) for name, document in known.items()]
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, number: type(number) is int)  # 1.0 is none
    kind = validators.extend(Draft202012Validator, type_checker=types)
    return kind(known[schema], registry=Registry().with_resources(resources))


SCHEMAS = ("results", "submission")


def schema_text(name: str) -> str:
    """The JSON schema of that name, as text."""
    return files(__package__).joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, _ in pairs if [other for other, _ in pairs].count(key) > 1)
        raise ValueError(f"the key {twice!r} comes twice")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number that JSON knows")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is larger than any number that can be held")
    return number


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 200 else f"{text[:200]} ..."
