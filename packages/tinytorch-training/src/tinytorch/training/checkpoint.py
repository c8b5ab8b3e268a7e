"""One file that holds a whole training run: arrays as safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from tinytorch.layers import TensorFile, save_tensors
from tinytorch.tensor import Array, FileFormatError

from .errors import CheckpointError
from .packing import pack, unpack

PathLike = str | os.PathLike[str]

KEY = "tinytorch.checkpoint"
VERSION = 2


def check(path: PathLike, meta: Mapping[str, Any]) -> None:
    """Raise what `write` would raise, and FileExistsError for a checkpoint of a run that has come further."""
    pack(meta, "the run", {})
    found = _earlier(path)
    if found > meta["step"]:
        raise FileExistsError(
            f"checkpoint: {path} is of a run of {found} steps, this one has {meta['step']}, and would replace it\n"
            "continue it with fit(..., resume=True), move it away, or choose another path"
        )
    try:
        TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
    except OSError as error:
        raise OSError(f"checkpoint: {path} cannot be written: {error}") from error


def write(path: PathLike, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path` in one step. Raises as `Run.save_checkpoint` does."""
    _earlier(path)
    states: dict[str, Array] = {}
    packed = pack(meta, "the run", states)
    arrays = {**arrays, **place(states, "state")}
    head = {"version": VERSION, "crc32": checksum(packed, arrays), "run": packed}
    try:
        save_tensors(arrays, path, {KEY: json.dumps(head)})
    except OSError as error:
        raise OSError(f"checkpoint: {path} could not be written: {error}; an earlier one there is untouched") from error


def read(path: PathLike) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the rest. Raises FileNotFoundError, and CheckpointError for what is not a whole checkpoint."""
    try:
        with TensorFile(path) as file:
            head, arrays = _head(file), dict(file)
    except FileFormatError as error:
        raise CheckpointError(str(error)) from None
    if head["crc32"] != checksum(head["run"], arrays):
        raise CheckpointError(f"checkpoint: {path} is damaged: its content is not what was written")
    return arrays, unpack(head["run"], pick(arrays, "state"))


def _earlier(path: PathLike) -> int:
    """The step of the checkpoint that is there, -1 without one. Raises FileExistsError when something else is there."""
    if not Path(path).exists():
        return -1
    try:
        with TensorFile(path) as file:
            return int(_head(file)["run"]["step"])
    except (FileFormatError, IsADirectoryError) as error:
        raise FileExistsError(f"{error}\nit is not replaced: move it away, or choose another path") from None


def _head(file: TensorFile) -> dict[str, Any]:
    if KEY not in file.metadata:
        raise CheckpointError(f"checkpoint: {file.path} is a safetensors file, but not a checkpoint of a Trainer")
    try:
        head = json.loads(file.metadata[KEY])
        version, complete = head["version"], {"crc32", "run"} <= head.keys() and "step" in head["run"]
    except (ValueError, TypeError, KeyError, AttributeError):
        version, complete = VERSION, False
    if version != VERSION or not complete:
        seen = "a damaged header" if version == VERSION else f"format {version}, and this version reads {VERSION}"
        raise CheckpointError(f"checkpoint: {file.path} has {seen}")
    return dict(head)


def checksum(packed: Any, arrays: Mapping[str, Array]) -> int:
    """The CRC-32 of everything in a checkpoint."""
    crc = zlib.crc32(json.dumps(packed).encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return crc


def pick(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The arrays of one part, such as `model`, under the names that they have there."""
    return {name.removeprefix(f"{part}."): array for name, array in arrays.items() if name.startswith(f"{part}.")}


def place(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The inverse of `pick`."""
    return {f"{part}.{name}": array for name, array in arrays.items()}
