"""Weights in files, written in one step: what stood there before is whole until the new file is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor, replacing

from . import state, tensor_file
from .errors import StateError
from .module import Module
from .tensor_file import PathLike, TensorFile


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
    for name, tensor in module._entries().items():
        once.setdefault(id(tensor), (name, tensor))
    save_tensors(dict(once.values()), path, metadata)


def load(module: Module, path: PathLike, strict: bool = True) -> state.Mismatch:
    """Read the parameters and persistent buffers of `module` from a safetensors file, all or none.

    Raises FileFormatError when the file is truncated or not a safetensors file, and StateError as `load_state_dict`
    does. Both are ValueErrors.
    """
    _expect_module("load", module)
    values = load_tensors(path)
    try:
        return module.load_state_dict(values, strict)
    except StateError as error:
        raise StateError(f"load: {os.fspath(path)}: {error}") from None


def save_tensors(
    tensors: Mapping[str, Tensor | Array], path: PathLike, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors or arrays by name to a safetensors file, atomically; through a symbolic link, to where it points.

    Raises TypeError for names or metadata that are not text, and for what is neither a tensor nor an array of numbers;
    FileNotFoundError for a folder that is not there, IsADirectoryError and FileExistsError for a path that is
    not a file, OSError when it cannot be written.

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
    with replacing(path) as draft:
        tensor_file.write(draft, arrays, metadata)


def load_tensors(path: PathLike) -> dict[str, Array]:
    """Every array in a safetensors file, by name. Raises as `TensorFile` does."""
    with TensorFile(path) as file:
        return dict(file)


def load_metadata(path: PathLike) -> dict[str, str]:
    """The text that `save` stored with the arrays, by name."""
    with TensorFile(path) as file:
        return file.metadata


def _writable(name: Any, value: Any) -> Array:
    if not isinstance(name, str):
        raise TypeError(f"save: the name {name!r} is a {type(name).__name__}; it must be text")
    array = value.data if isinstance(value, Tensor) else value
    if name == "__metadata__":
        raise ValueError("save: a tensor named '__metadata__' could not be read back; choose another name")
    if not isinstance(array, np.ndarray | np.generic) or array.dtype.kind not in "bifu" or array.dtype.itemsize > 8:
        kind = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"save: {name} is a {kind}; it must be a tensor or an array of numbers of 64 bits at most")
    return np.asarray(array, array.dtype.newbyteorder("="))


def _expect_module(function: str, module: Any) -> None:
    if not isinstance(module, Module):
        raise TypeError(
            f"{function}: got a {type(module).__name__}, not a Module; call {function}(module, path), "
            f"or {function}_tensors for arrays by name"
        )
