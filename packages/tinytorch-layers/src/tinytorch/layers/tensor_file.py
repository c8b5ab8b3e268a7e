"""An open safetensors file as a mapping of arrays. The format holds numbers and nothing that could be executed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from tinytorch.tensor import Array, FileFormatError

PathLike = str | os.PathLike[str]

DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "BF16": "<u2", "U32": "<u4",
    "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8", "C64": "<c8",
}  # fmt: skip
"""The dtypes that can be read, as the format and as NumPy call them; of bfloat16 the upper half of float32."""


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None) -> None:
    """Write arrays by name. Raises OSError when that fails."""
    from safetensors import SafetensorError  # only where a file is touched: the stages import without it
    from safetensors.numpy import save_file

    try:
        rows = {name: np.require(array, requirements="C") for name, array in arrays.items()}
        save_file(rows, path, dict(metadata) if metadata else None)
    except SafetensorError as error:
        raise OSError(f"save: {error}") from None
    if metadata and len(metadata) > 1:
        _sort_metadata(path)


def _sort_metadata(path: Path) -> None:
    """Put the names of metadata in order: the library writes them in one that differs between runs.

    So the same content gives the same bytes, which are compared, hashed and cached.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= size  # the same text in another order, and padding
        file.seek(8)
        file.write(text.ljust(size))


class TensorFile(Mapping[str, Array]):
    """A safetensors file that is open for reading: a mapping whose arrays are read when they are asked for.

    It stays the same file when another is moved to its path. `metadata` is text by name, `shapes` are the sizes of each
    array. bfloat16, which NumPy does not have, is read as the float32 of equal value.

    Raises FileNotFoundError, IsADirectoryError, and FileFormatError when the file is truncated or not a safetensors
    file; reading an array raises FileFormatError for a dtype that NumPy does not have.

    >>> import tempfile
    >>> from tinytorch.layers import save_tensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tensors({"mean": np.array([1.0, 2.0])}, f"{folder}/mean.safetensors", {"unit": "mm"})
    ...     with TensorFile(f"{folder}/mean.safetensors") as file:
    ...         file.metadata, file.shapes, file["mean"]
    ({'unit': 'mm'}, {'mean': (2,)}, array([1., 2.]))
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f"load: {path} is a folder; name the file in it")
        if not self.path.exists():
            raise FileNotFoundError(f"load: there is no file {path}; save(module, path) writes one")
        if not self.path.is_file():
            raise FileFormatError(f"load: {path} is a device or pipe; it must be a file")
        self._raw = _open(self.path)
        length = int.from_bytes(self._raw.read(8), "little")
        self._header: dict[str, Any] = json.loads(self._raw.read(length))
        self._numbers = 8 + length  # where they begin in the file
        self.metadata: dict[str, str] = self._header.pop("__metadata__", None) or {}
        self.shapes = {name: tuple(self._header[name]["shape"]) for name in sorted(self._header)}

    def __getitem__(self, name: str) -> Array:
        dtype, (start, end) = self._header[name]["dtype"], self._header[name]["data_offsets"]
        if dtype not in DTYPES:
            what = f"{name} has dtype {dtype}, which NumPy does not have"
            raise FileFormatError(f"load: {self.path}: {what}; convert the file to float32")
        self._raw.seek(self._numbers + start)  # a map, which the library makes, would stay in memory
        stored = np.dtype(DTYPES[dtype])
        array = np.fromfile(self._raw, stored, (end - start) // stored.itemsize)
        if dtype == "BF16":
            array = np.left_shift(array, 16, dtype=np.uint32).view(np.float32)
        return array.reshape(self.shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _open(path: Path) -> BinaryIO:
    """The bytes of a file whose header the library, which opens the path for itself, has checked."""
    from safetensors import SafetensorError, safe_open

    while True:
        raw = open(path, "rb")  # noqa: SIM115  closed by the TensorFile
        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            what = f"{path} ({os.fstat(raw.fileno()).st_size:,} bytes) is truncated or not a safetensors file"
            raw.close()
            raise FileFormatError(f"load: {what}: {error}") from None
        if os.path.samestat(os.fstat(raw.fileno()), os.stat(path)):
            return raw
        raw.close()  # another file was moved to the path between the two
