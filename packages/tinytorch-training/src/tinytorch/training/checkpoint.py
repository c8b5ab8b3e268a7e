"""One file that holds a whole training run: arrays as safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from tinytorch.layers.files import load_metadata, load_tensors, save_tensors
from tinytorch.tensor import Array

PathLike = str | os.PathLike[str]

KEY = "tinytorch.checkpoint"
VERSION = 1


def write(path: PathLike, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path` in one step.

    Raises FileExistsError when the file there is no checkpoint, and OSError when it cannot be written; whatever stood
    there is left as it was.
    """
    if Path(path).exists():
        try:
            _meta(path)
        except (ValueError, IsADirectoryError) as error:
            raise FileExistsError(f"{error}\nit is not replaced: move it away, or choose another path") from None
    try:
        save_tensors(arrays, path, {KEY: json.dumps({"version": VERSION, **meta})})
    except (OSError, SafetensorError) as error:
        raise OSError(f"checkpoint: {path} could not be written: {error}; an earlier one there is untouched") from error


def read(path: PathLike) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the rest. Raises FileNotFoundError, and ValueError for a file that is no whole checkpoint."""
    if not Path(path).exists():
        raise FileNotFoundError(f"checkpoint: there is no file {path}; save_checkpoint(path) writes one")
    meta = _meta(path)
    return load_tensors(path), meta


def _meta(path: PathLike) -> dict[str, Any]:
    text = load_metadata(path).get(KEY)
    if text is None:
        raise ValueError(f"checkpoint: {path} is a safetensors file, but no checkpoint of a Trainer")
    try:
        meta = json.loads(text)
        version = meta["version"]
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"checkpoint: the header of {path} is damaged") from None
    if version != VERSION:
        raise ValueError(f"checkpoint: {path} has format {version}, this version of tinytorch-training reads {VERSION}")
    return meta


def pick(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The arrays of one part, such as `model`, under the names that they have there."""
    return {name.removeprefix(f"{part}."): array for name, array in arrays.items() if name.startswith(f"{part}.")}


def place(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The other way round."""
    return {f"{part}.{name}": array for name, array in arrays.items()}
