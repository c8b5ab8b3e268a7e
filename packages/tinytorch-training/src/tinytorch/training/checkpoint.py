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
    found, step = _earlier(path), meta["step"]
    if found is not None and found > step:
        raise FileExistsError(
            f"checkpoint: {path} is of a run of {found} steps, this one has {step}, and would replace it\n"
            "continue it with fit(..., resume=True), move it away, or choose another path"
        )
    try:
        TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
    except OSError as error:
        raise OSError(f"checkpoint: {path} cannot be written: {error}") from error


def write(path: PathLike, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path` in one step.

    Raises FileExistsError when the file there is not a checkpoint, and OSError when it cannot be written; what was
    there is left as it was. Raises TypeError for a state that cannot be packed.
    """
    _earlier(path)
    values: dict[str, Array] = {}
    packed = pack(meta, "the run", values)
    arrays = {**arrays, **place(values, "state")}
    text = json.dumps({"version": VERSION, "crc32": checksum(packed, arrays), "run": packed})
    try:
        save_tensors(arrays, path, {KEY: text})
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


def _earlier(path: PathLike) -> int | None:
    """The step of the checkpoint that is there, if any. Raises FileExistsError when something else is there."""
    if not Path(path).exists():
        return None
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
        version = head["version"]
        if version == VERSION and {"step", "data"} <= head["run"].keys():
            return {"crc32": head["crc32"], "run": head["run"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        version = None
    seen = "a damaged header" if version in (None, VERSION) else f"format {version}, this version reads {VERSION}"
    raise CheckpointError(f"checkpoint: {file.path} has {seen}")


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
