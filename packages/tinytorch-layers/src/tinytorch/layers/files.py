"""Weights in files: safetensors, which holds numbers and nothing that could be executed.

A file is written beside its place and then moved there in one step, so that what stood there before is whole until the
new one is.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tinytorch.tensor import Array, Tensor

from . import state
from .module import Module

PathLike = str | os.PathLike[str]


def save(module: Module, path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write the parameters and persistent buffers of `module` to a safetensors file, atomically.

    A shared parameter is written once, under its first name. Weights keep this project's layout: `Linear.weight` is
    (in_features, out_features), the transpose of PyTorch's. `metadata` is text by name, read by `load_metadata`.

    >>> import tempfile
    >>> from tinytorch.layers import Linear
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Linear(2, 3), folder + "/model.safetensors", {"steps": "100"})
    ...     sorted(load_tensors(folder + "/model.safetensors"))
    ['bias', 'weight']
    """
    once: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in state.entries(module).items():
        once.setdefault(id(tensor), (name, tensor))
    save_tensors(dict(once.values()), path, metadata)


def load(module: Module, path: PathLike, strict: bool = True) -> state.Mismatch:
    """Read the parameters and persistent buffers of `module` from a safetensors file, all or none.

    Raises ValueError when the file is truncated or no safetensors file, and when it does not fit: one error lists all
    missing and unexpected names (unless `strict` is false, when they are returned) and all wrong shapes and dtypes.
    """
    values = load_tensors(path)
    try:
        return module.load_state_dict(values, strict)
    except ValueError as error:
        raise ValueError(f"load: {os.fspath(path)}: {error}") from None


def save_tensors(
    tensors: Mapping[str, Tensor | Array], path: PathLike, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors or arrays by name to a safetensors file, atomically.

    Raises TypeError for names or metadata that are not text, and for what is neither a tensor nor an array of numbers.
    """
    arrays = {name: _writable(name, value) for name, value in tensors.items()}
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save: metadata {key!r}: {value!r} is not text; use str() or json.dumps")
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {target.parent}; create it first")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        save_file(arrays, draft, dict(metadata) if metadata else None)
        _flush(draft)
        os.replace(draft, target)
    except SafetensorError as error:
        raise OSError(f"save: {target}: {error}") from None
    finally:
        draft.unlink(missing_ok=True)
    if os.name == "posix":
        _flush(target.parent)


def load_tensors(path: PathLike) -> dict[str, Array]:
    """Every array in a safetensors file, by name; bfloat16, which NumPy does not have, as the float32 of equal value.

    Raises FileNotFoundError, and ValueError when the file is truncated or no safetensors file.
    """
    with _opened(path) as file:
        return {name: _read(file, name, path) for name in file.keys()}  # noqa: SIM118  file is no dict


def load_metadata(path: PathLike) -> dict[str, str]:
    """The text that `save` stored beside the arrays, by name."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


def _writable(name: Any, value: Any) -> Array:
    if not isinstance(name, str):
        raise TypeError(f"save: the name {name!r} is a {type(name).__name__}; it must be text")
    array = value.data if isinstance(value, Tensor) else value
    if not isinstance(array, np.ndarray | np.generic) or array.dtype.kind not in "bifu":
        raise TypeError(f"save: {name} is a {type(value).__name__}; it must be a tensor or an array of numbers")
    return np.require(array, requirements="C")  # safetensors stores rows one after another


def _flush(path: Path) -> None:
    """Have the operating system write `path`, a file or folder, to the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: PathLike) -> Any:
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"load: {path} is a folder; name the file in it")
    if not path.exists():
        raise FileNotFoundError(f"load: there is no file {path}; save(module, path) writes one")
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(
            f"load: {path} ({path.stat().st_size:,} bytes) is truncated or no safetensors file: {error}"
        ) from None


def _read(file: Any, name: str, path: PathLike) -> Array:
    if file.get_slice(name).get_dtype() != "BF16":
        return file.get_tensor(name)
    with open(path, "rb") as raw:  # safe_open has checked the header and the offsets
        length = int.from_bytes(raw.read(8), "little")
        entry = json.loads(raw.read(length))[name]
        start, end = entry["data_offsets"]
        raw.seek(8 + length + start)
        upper = np.frombuffer(raw.read(end - start), "<u2").astype(np.uint32)
    return (upper << 16).view(np.float32).reshape(entry["shape"])
