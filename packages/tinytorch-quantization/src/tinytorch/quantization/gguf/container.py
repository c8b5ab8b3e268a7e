"""GGUF files as mappings of arrays: a header of names and values, then tensors, each at its offset.

Nothing that a header says is believed before it is compared with the size of the file, so that reading takes memory and
time in proportion to what is really there.

Source: ggml, `docs/gguf.md`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple, NoReturn, Self

import numpy as np

from tinytorch.tensor import Array, FileFormatError

from .blocks import BY_NUMBER, FORMATS, decode

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32

STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "<u1", 10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
"""The types of single values, as the format numbers them and as NumPy calls them; 7 is a bool."""

LARGEST_HEADER = 128 * 2**20  # bytes: a vocabulary of 262,144 tokens with its merges takes 15 million
MOST_STRINGS, MOST_ENTRIES, LONGEST_NAME = 2**22, 2**16, 2**16 - 1
MOST_SAID = 2000  # characters of an error


class Stored(NamedTuple):
    """Where a tensor is: its type, its sizes with the last axis innermost, and its place in the file in bytes."""

    kind: str
    shape: tuple[int, ...]
    start: int
    nbytes: int


class GGUFFile(Mapping[str, Array]):
    """A GGUF file that is open for reading: a mapping whose tensors are read when they are asked for.

    `metadata` are the values of the header by name: numbers, text, and lists of text or arrays of numbers. `shapes` and
    `types` are those of each tensor; a shape is as NumPy writes it, (out_features, in_features) for a linear layer.
    Quantized tensors are read as the float32 numbers that they stand for, bfloat16 too; `blocks` reads what is stored.

    Raises FileNotFoundError, IsADirectoryError, and FileFormatError for a file that is truncated, of another format or
    byte order, or whose header contradicts itself or the size of the file. Reading a tensor of a type that can only be
    listed raises FileFormatError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f"read_gguf: {path} is a folder; name the file in it")
        if not self.path.exists():
            raise FileNotFoundError(f"read_gguf: there is no file {path}; save_gguf(model, path) writes one")
        if not self.path.is_file():
            raise FileFormatError(f"read_gguf: {path} is a device or pipe; it must be a file")
        self._reading = Lock()  # the place in the file is one for all threads
        self._raw = open(self.path, "rb")  # noqa: SIM115  closed by close()
        try:
            header = _Header(self._raw, self.path)
            self.version = header.version
            self.metadata: dict[str, Any] = header.metadata
            self.alignment = header.alignment
            self._stored = header.tensors
        except BaseException:
            self._raw.close()
            raise
        self.shapes = {name: tensor.shape for name, tensor in self._stored.items()}
        self.types = {name: tensor.kind for name, tensor in self._stored.items()}

    def __getitem__(self, name: str) -> Array:
        tensor = self._stored[name]
        if FORMATS[tensor.kind].decode is None:
            known = ", ".join(kind for kind, format in FORMATS.items() if format.decode)
            raise self.wrong(f"{name} is {tensor.kind}, which is not read; known are {known}")
        return decode(tensor.kind, self.blocks(name)).reshape(tensor.shape)

    def blocks(self, name: str) -> Array:
        """The items that a tensor is stored as, flat: numbers, or records with fields such as `d` and `q`."""
        tensor = self._stored[name]
        dtype = FORMATS[tensor.kind].dtype
        with self._reading:
            if self._raw.closed:
                raise ValueError(f"read_gguf: {self.path} is closed; read tensors before that, or open it again")
            self._raw.seek(tensor.start)
            items = np.fromfile(self._raw, dtype, tensor.nbytes // dtype.itemsize)
        if items.nbytes != tensor.nbytes:
            raise self.wrong(f"{name} ends early; the file was cut while it was open")
        return items

    def wrong(self, what: Any) -> FileFormatError:
        """The error that says what is wrong with the file."""
        return refusal(self.path, what)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def close(self) -> None:
        """Close the file; what was read stays."""
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GGUFFile({str(self.path)!r}: {len(self.metadata)} values, {len(self)} tensors)"


def refusal(path: Path, what: Any) -> FileFormatError:
    """The error that says what is wrong with a file, whose names may be long and hold what steers a terminal."""
    said = "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in str(what)[:MOST_SAID])
    return FileFormatError(f"read_gguf: {path}: {said}")


def read_gguf(path: str | os.PathLike[str]) -> GGUFFile:
    """Open a GGUF file: its metadata, and its tensors by name. Raises as `GGUFFile` does.

    >>> import tempfile
    >>> from tinytorch.quantization import write_gguf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_gguf(f"{folder}/mean.gguf", {"mean": np.ones((2, 32), np.float32)}, {"unit": "mm"}, {"mean": "Q8_0"})
    ...     with read_gguf(f"{folder}/mean.gguf") as file:
    ...         file.metadata["unit"], file.types, file["mean"].shape
    ('mm', {'mean': 'Q8_0'}, (2, 32))
    """
    return GGUFFile(path)


class _Header:
    """What stands before the numbers, read once from the start and never past its end."""

    def __init__(self, raw: BinaryIO, path: Path) -> None:
        self.raw, self.path = raw, path
        self.size = os.fstat(raw.fileno()).st_size
        self.position, self.strings = 0, 0
        if self.take(4, "the magic") != MAGIC:
            self.wrong("it does not begin with GGUF; that is a file of another format")
        self.version = self.number("<I", "the version")
        if self.version not in VERSIONS:
            big = self.version & 0xFFFF == 0
            self.wrong("its byte order is big-endian" if big else f"version {self.version}; known are 2 and 3")
        count, entries = self.number("<Q", "the number of tensors"), self.number("<Q", "the number of values")
        self.bounded(count, MOST_ENTRIES, 33, "tensors")
        self.bounded(entries, MOST_ENTRIES, 14, "values")
        self.metadata: dict[str, Any] = {}
        for _ in range(entries):
            name = self.name("a value")
            if name in self.metadata:
                self.wrong(f"the value {name!r} is there twice")
            self.metadata[name] = self.value(self.number("<I", name), name)
        self.alignment = self.aligned()
        infos = self.infos(count)
        self.tensors = self.placed(infos, -(-self.position // self.alignment) * self.alignment)

    def wrong(self, what: str) -> NoReturn:
        raise refusal(self.path, what)

    def take(self, count: int, what: str) -> bytes:
        """The next bytes, unless they would be more than there are."""
        if count > self.size - self.position:
            rest = self.size - self.position
            self.wrong(f"{what} needs {count:,} bytes and {rest:,} are left; the file is cut off or damaged")
        self.position += count
        if self.position > LARGEST_HEADER:
            self.wrong(f"{what}: the header has more than {LARGEST_HEADER:,} bytes, which none has")
        data = self.raw.read(count)
        if len(data) < count:
            self.wrong(f"{what} ends early; the file was cut while it was read")
        return data

    def number(self, form: str, what: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form), what))[0]

    def bounded(self, count: int, most: int, least_bytes: int, what: str) -> None:
        """Refuse to begin with more than the rest of the file can hold, or with more than the limit."""
        rest = self.size - self.position
        if count * least_bytes > rest:
            self.wrong(f"it says that it has {count:,} {what}; the {rest:,} bytes that are left hold fewer")
        if count > most:
            self.wrong(f"it says that it has {count:,} {what}; {most:,} are the limit")

    def string(self, what: str) -> str:
        data = self.take(self.number("<Q", what), what)
        self.strings += 1
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            self.wrong(f"{what} is not UTF-8 text: {error.reason} at byte {error.start}")

    def name(self, what: str) -> str:
        name = self.string(f"the name of {what}")
        if not 0 < len(name.encode()) <= LONGEST_NAME:
            self.wrong(f"the name of {what} has {len(name):,} characters; it has 1 to {LONGEST_NAME:,} bytes")
        return name

    def value(self, kind: int, name: str) -> Any:
        if kind == STRING:
            return self.string(name)
        if kind == ARRAY:
            return self.array(name)
        value = self.numbers(kind, 1, name)[0]
        return value.item()

    def array(self, name: str) -> Any:
        kind, count = self.number("<I", name), self.number("<Q", name)
        if kind == STRING:
            self.bounded(count, MOST_STRINGS - self.strings, 8, f"texts in {name}")
            return [self.string(name) for _ in range(count)]
        if kind == ARRAY:
            self.wrong(f"{name} is an array of arrays, which no program writes")
        return self.numbers(kind, count, name)

    def numbers(self, kind: int, count: int, name: str) -> Array:
        if kind not in SCALARS:
            self.wrong(f"{name} has the type {kind}; types go from 0 to 12")
        dtype = np.dtype(SCALARS[kind])
        array = np.frombuffer(self.take(count * dtype.itemsize, name), dtype)
        if kind == BOOL:
            if (array > 1).any():
                self.wrong(f"{name} is a bool of {array.max()}; a bool is 0 or 1")
            array = array.astype(bool)
        return array

    def aligned(self) -> int:
        alignment = self.metadata.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or not 0 < alignment <= 2**20 or alignment & (alignment - 1):
            self.wrong(f"general.alignment is {alignment!r}; it is a power of two, usually {ALIGNMENT}")
        return alignment

    def infos(self, count: int) -> dict[str, tuple[str, tuple[int, ...], int]]:
        found: dict[str, tuple[str, tuple[int, ...], int]] = {}
        for _ in range(count):
            name = self.name("a tensor")
            if name in found:
                self.wrong(f"the tensor {name!r} is there twice")
            rank = self.number("<I", name)
            if not 1 <= rank <= 4:
                self.wrong(f"{name} has {rank:,} axes; it has 1 to 4")
            shape = struct.unpack(f"<{rank}Q", self.take(8 * rank, name))[::-1]
            number, offset = self.number("<I", name), self.number("<Q", name)
            if number not in BY_NUMBER:
                self.wrong(f"{name} has the type {number}; known are {', '.join(FORMATS)}")
            kind = BY_NUMBER[number]
            if 0 in shape or shape[-1] % FORMATS[kind].block:
                self.wrong(
                    f"{name} is {shape} of {kind}; its rows are multiples of {FORMATS[kind].block}, and not empty"
                )
            if offset % self.alignment:
                self.wrong(f"{name} is at offset {offset}, which is not a multiple of the alignment {self.alignment}")
            found[name] = kind, shape, offset
        return found

    def placed(self, infos: dict[str, tuple[str, tuple[int, ...], int]], start: int) -> dict[str, Stored]:
        """Where the tensors are, all within the file and none within another."""
        placed = {
            name: Stored(kind, shape, start + offset, FORMATS[kind].nbytes(prod(shape)))
            for name, (kind, shape, offset) in infos.items()
        }
        end, before = start, "the header"
        for name, tensor in sorted(placed.items(), key=lambda item: item[1].start):
            if tensor.start < end:
                self.wrong(f"{name} begins within {before}; tensors do not overlap")
            end, before = tensor.start + tensor.nbytes, name
            if end > self.size:
                what = f"{name}, {tensor.shape} of {tensor.kind}, ends at byte {end:,}"
                self.wrong(f"{what} of {self.size:,}; the file is cut off or damaged")
        return placed
