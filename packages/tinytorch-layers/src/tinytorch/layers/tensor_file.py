"""The safetensors format: eight bytes for the length of a header, the header in JSON, and the numbers row by row.

It holds nothing that could be executed. Source: https://huggingface.co/docs/safetensors, section Format.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from tinytorch.tensor import Array, FileFormatError

PathLike = str | os.PathLike[str]

DTYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "b1",
}  # fmt: skip
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
BFLOAT16 = "BF16"
SIZES = {BFLOAT16: 2} | {name: np.dtype(dtype).itemsize for name, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None) -> None:
    """Write arrays by name, the widest numbers first, so that all lie at multiples of their size."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    names, end = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize), 0
    for name in names:
        array, start = arrays[name], end
        end += array.nbytes
        header[name] = {"dtype": NAMES[array.dtype], "shape": array.shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            array = arrays[name]
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)


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

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f"load: {path} is a folder; name the file in it")
        if not self.path.exists():
            raise FileNotFoundError(f"load: there is no file {path}; save(module, path) writes one")
        if not self.path.is_file():
            raise FileFormatError(f"load: {path} is a device or pipe; it must be a file")
        self._file = open(self.path, "rb")  # noqa: SIM115  closed by __exit__
        size = os.fstat(self._file.fileno()).st_size
        try:
            self._entries, self._start = self._read_header(self._file, size)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self._file.close()
            raise FileFormatError(
                f"load: {path} ({size:,} bytes) is truncated or not a safetensors file: {error}"
            ) from None

    def _read_header(self, file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
        """What the header says of each array, and where the numbers begin. They fill the rest without gaps."""
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, LONGEST_HEADER):
            raise ValueError(f"a header of {length:,} bytes")
        header = {**json.loads(file.read(length).decode())}
        self.metadata = {**(header.pop("__metadata__", None) or {})}
        if not all(isinstance(text, str) for text in self.metadata.values()):
            raise ValueError("metadata that is not text")
        self.shapes, end = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            shape, (start, stop), dtype = tuple(entry["shape"]), entry["data_offsets"], entry["dtype"]
            possible = len(shape) <= 64 and all(type(n) is int and 0 <= n < 2**63 for n in (*shape, stop - start))
            fits = dtype not in SIZES or (possible and math.prod(shape) * SIZES[dtype] == stop - start)
            if start != end or not possible or not fits:
                raise ValueError(f"the shape or place of {name!r:.99}")
            self.shapes[name], end = shape, stop
        if end != size - 8 - length:
            raise ValueError(f"{size - 8 - length:,} bytes of numbers, and the header describes {end:,}")
        return header, 8 + length

    def __getitem__(self, name: str) -> Array:
        entry = self._entries[name]
        dtype, (start, stop), shape = entry["dtype"], entry["data_offsets"], self.shapes[name]
        if dtype not in SIZES:
            raise FileFormatError(
                f"load: {self.path}: {name} has dtype {dtype}, which NumPy does not have; convert the file to float32"
            )
        raw = np.empty(stop - start, np.uint8)
        self._file.seek(self._start + start)
        if self._file.readinto(raw.data) != raw.size:
            raise FileFormatError(f"load: {self.path} was truncated while it was read")
        if dtype == BFLOAT16:  # the upper half of a float32
            return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
        array = raw.view("<" + DTYPES[dtype])
        return array.astype(array.dtype.newbyteorder("="), copy=False).reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
