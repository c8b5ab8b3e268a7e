"""Weights in files: safetensors, which holds numbers and nothing that could be executed.

A file is written beside its place and then moved there in one step, so that what stood there before is whole until the
new one is.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
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

    Raises as `save_tensors` does.

    >>> import tempfile
    >>> from tinytorch.layers import Linear
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Linear(2, 3), folder + "/model.safetensors", {"steps": "100"})
    ...     sorted(load_tensors(folder + "/model.safetensors"))
    ['bias', 'weight']
    """
    _expect_module("save", module)
    once: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in state.entries(module).items():
        once.setdefault(id(tensor), (name, tensor))
    save_tensors(dict(once.values()), path, metadata)


def load(module: Module, path: PathLike, strict: bool = True) -> state.Mismatch:
    """Read the parameters and persistent buffers of `module` from a safetensors file, all or none.

    Raises ValueError when the file is truncated or no safetensors file, and when it does not fit: one error lists all
    missing and unexpected names (unless `strict` is false, when they are returned) and all wrong shapes and dtypes.
    """
    _expect_module("load", module)
    values = load_tensors(path)
    try:
        return module.load_state_dict(values, strict)
    except ValueError as error:
        raise ValueError(f"load: {os.fspath(path)}: {error}") from None


def save_tensors(
    tensors: Mapping[str, Tensor | Array], path: PathLike, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors or arrays by name to a safetensors file, atomically; through a symbolic link, to where it points.

    Raises TypeError for names or metadata that are not text, and for what is neither a tensor nor an array of numbers;
    FileNotFoundError for a folder that is not there, IsADirectoryError and FileExistsError for a path where something
    else than a file stands, OSError when it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tensors({"mean": Tensor([1.0, 2.0])}, f"{folder}/mean.safetensors", {"unit": "mm"})
    ...     load_tensors(f"{folder}/mean.safetensors"), load_metadata(f"{folder}/mean.safetensors")
    ({'mean': array([1., 2.], dtype=float32)}, {'unit': 'mm'})
    """
    arrays = {name: _writable(name, value) for name, value in tensors.items()}
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save: metadata {key!r}: {value!r} is not text; use str() or json.dumps")
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {target.parent}; create it first")
    if target.is_dir():
        raise IsADirectoryError(f"save: {path} is a folder; name a file in it")
    if target.exists() and not target.is_file():
        raise FileExistsError(f"save: {path} is a device or pipe, which a file would replace; choose another path")
    draft = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        draft.touch(exist_ok=False)
        mode = (target if target.exists() else draft).stat().st_mode  # safetensors makes files that only we can read
        save_file(arrays, draft, dict(metadata) if metadata else None)
        draft.chmod(stat.S_IMODE(mode))
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

    Raises FileNotFoundError, IsADirectoryError, and ValueError when the file is truncated or no safetensors file, or
    holds numbers of a dtype that NumPy does not have.
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
    if name == "__metadata__":
        raise ValueError("save: a tensor named '__metadata__' could not be read back; choose another name")
    if not isinstance(array, np.ndarray | np.generic) or array.dtype.kind not in "bifu" or array.dtype.itemsize > 8:
        kind = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"save: {name} is a {kind}; it must be a tensor or an array of numbers of 64 bits at most")
    return np.require(array, requirements="C")  # safetensors stores rows one after another


def _expect_module(function: str, module: Any) -> None:
    if not isinstance(module, Module):
        raise TypeError(
            f"{function}: got a {type(module).__name__}, not a Module; call {function}(module, path), "
            f"or {function}_tensors for arrays by name"
        )


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
    if not path.is_file():
        raise ValueError(f"load: {path} is a device or pipe; it must be a file")
    open(path, "rb").close()  # safe_open says of a file that may not be read that it is not there
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(
            f"load: {path} ({path.stat().st_size:,} bytes) is truncated or no safetensors file: {error}"
        ) from None


def _read(file: Any, name: str, path: PathLike) -> Array:
    dtype = file.get_slice(name).get_dtype()
    if dtype.startswith(("F4_", "F6_", "F8_")) or dtype == "F4":
        raise ValueError(
            f"load: {path}: {name} has dtype {dtype}, which NumPy does not have; convert the file to float32"
        )
    if dtype != "BF16":
        return file.get_tensor(name)
    with open(path, "rb") as raw:  # safe_open has checked the header and the offsets
        length = int.from_bytes(raw.read(8), "little")
        entry = json.loads(raw.read(length))[name]
        start, end = entry["data_offsets"]
        raw.seek(8 + length + start)
        upper = np.frombuffer(raw.read(end - start), "<u2").astype(np.uint32)
    return (upper << 16).view(np.float32).reshape(entry["shape"])
