"""One file that holds a whole training run: arrays as safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from tinytorch.layers import load_metadata, load_tensors, save_tensors
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
            _head(path)
        except (ValueError, IsADirectoryError) as error:
            raise FileExistsError(f"{error}\nit is not replaced: move it away, or choose another path") from None
    text = json.dumps({"version": VERSION, "crc32": checksum(meta, arrays), "run": meta})
    try:
        save_tensors(arrays, path, {KEY: text})
    except (OSError, SafetensorError) as error:
        raise OSError(f"checkpoint: {path} could not be written: {error}; an earlier one there is untouched") from error


def read(path: PathLike) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the rest. Raises FileNotFoundError, and ValueError for a file that is no whole checkpoint."""
    if not Path(path).exists():
        raise FileNotFoundError(f"checkpoint: there is no file {path}; save_checkpoint(path) writes one")
    head = _head(path)
    arrays = load_tensors(path)
    if head["crc32"] != checksum(head["run"], arrays):
        raise ValueError(f"checkpoint: {path} is damaged: its content is not what was written")
    return arrays, head["run"]


def _head(path: PathLike) -> dict[str, Any]:
    text = load_metadata(path).get(KEY)
    if text is None:
        raise ValueError(f"checkpoint: {path} is a safetensors file, but no checkpoint of a Trainer")
    try:
        head = json.loads(text)
        version = head["version"]
        if version != VERSION:
            raise ValueError(
                f"checkpoint: {path} has format {version}, this version of tinytorch-training reads {VERSION}"
            )
        return {"crc32": head["crc32"], "run": head["run"]}
    except (json.JSONDecodeError, TypeError, KeyError):
        raise ValueError(f"checkpoint: the header of {path} is damaged") from None


def checksum(meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> int:
    """The CRC-32 of everything in a checkpoint."""
    crc = zlib.crc32(json.dumps(meta).encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return crc


def pick(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The arrays of one part, such as `model`, under the names that they have there."""
    return {name.removeprefix(f"{part}."): array for name, array in arrays.items() if name.startswith(f"{part}.")}


def place(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The other way round."""
    return {f"{part}.{name}": array for name, array in arrays.items()}
