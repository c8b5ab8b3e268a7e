"""Writing GGUF files: first the header, then the tensors, of which one at a time is computed and in memory."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tinytorch.tensor import Array, Tensor, array_of, replacing

from .blocks import FORMATS, PLAIN, WRITTEN, encode
from .container import ALIGNMENT, ARRAY, BOOL, LONGEST_NAME, MAGIC, SCALARS, STRING

NUMBERS = {np.dtype(dtype): number for number, dtype in SCALARS.items() if number != BOOL}
OF_FLOATS = "F32, F16, Q8_0, Q4_0"


class Item(NamedTuple):
    """A tensor to be written: its type, its sizes, and what computes the items that it is stored as."""

    kind: str
    shape: tuple[int, ...]
    make: Callable[[], Array]


def write_gguf(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor | Array],
    metadata: Mapping[str, Any] | None = None,
    types: Mapping[str, str] | None = None,
) -> None:
    """Write tensors or arrays and metadata by name to a GGUF file, atomically.

    `types` names the type of a tensor of floats, "F32", "F16", "Q8_0" or "Q4_0"; all others keep theirs. Values are
    bool, int, float, text, arrays of numbers and lists of text; an int or a float is written in 32 bits where that
    loses nothing, NumPy's numbers in the type that they have.

    Raises ValueError for a type that is not known or cannot hold the numbers, for rows that are not a multiple of a
    block and for names that are empty or too long, TypeError for other values; FileNotFoundError and other OSErrors as
    `replacing` does.
    """
    types = types or {}
    if unknown := [name for name in types if name not in tensors]:
        raise ValueError(f"write_gguf: types names {unknown[0]!r}, which is not one of the tensors")
    write_items(path, {name: item(name, x, types.get(name)) for name, x in tensors.items()}, metadata or {})


def item(name: str, x: Any, kind: str | None) -> Item:
    """The tensor `x` as it is to be written. Raises as `write_gguf` does."""
    array = array_of(x)
    own = next((each for each in PLAIN if FORMATS[each].dtype == array.dtype.newbyteorder("<")), None)
    if own is None or not 1 <= array.ndim <= 4 or not array.size:
        raise ValueError(
            f"write_gguf: {name} is {array.shape} of {array.dtype}; it has 1 to 4 axes of floats or integers"
        )
    kind = own if kind is None else kind
    if kind not in WRITTEN or (kind != own and (kind in PLAIN[2:] or array.dtype.kind != "f")):
        raise ValueError(
            f"write_gguf: {name}: type is {kind!r}; for {array.dtype} known are {own} and, of floats, {OF_FLOATS}"
        )
    if array.shape[-1] % FORMATS[kind].block:
        what = f"rows of {array.shape[-1]} numbers; {kind} stores blocks of {FORMATS[kind].block}, write it as F16"
        raise ValueError(f"write_gguf: {name} has {what}")

    def make() -> Array:
        try:
            return encode(kind, array)
        except ValueError as error:
            raise ValueError(f"write_gguf: {name}: {error}") from None

    return Item(kind, array.shape, make)


def write_items(path: str | os.PathLike[str], items: Mapping[str, Item], metadata: Mapping[str, Any]) -> None:
    """Write what the items make, one after another, each at a multiple of the alignment."""
    if metadata.get("general.alignment", ALIGNMENT) != ALIGNMENT:
        raise ValueError(f"write_gguf: general.alignment is {metadata['general.alignment']!r}; {ALIGNMENT} is written")
    header = b"".join(_header(items, metadata))
    with replacing(path) as draft, open(draft, "wb") as file:
        file.write(header)
        for stored in items.values():
            _pad(file)
            blocks = stored.make()
            assert blocks.nbytes == FORMATS[stored.kind].nbytes(prod(stored.shape))
            blocks.tofile(file)
        _pad(file)


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))


def _header(items: Mapping[str, Item], metadata: Mapping[str, Any]) -> Iterator[bytes]:
    yield MAGIC + struct.pack("<IQQ", 3, len(items), len(metadata))
    for name, value in metadata.items():
        yield _string(_name(name)) + _value(name, value)
    offset = 0
    for name, (kind, shape, _) in items.items():
        sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
        yield _string(_name(name)) + sizes + struct.pack("<IQ", FORMATS[kind].number, offset)
        offset += -(-FORMATS[kind].nbytes(prod(shape)) // ALIGNMENT) * ALIGNMENT


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"write_gguf: the name {name!r} is a {type(name).__name__}; it must be text")
    if not 0 < len(name.encode()) <= LONGEST_NAME:
        raise ValueError(
            f"write_gguf: the name {name[:20]!r} has {len(name):,} characters; it has 1 to {LONGEST_NAME:,}"
        )
    return name


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(name: str, value: Any) -> bytes:
    """The type of a value, and the value."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value, bool | int | float | np.generic):
        kind, data = _numbers(name, np.asarray(value), value)
        return struct.pack("<I", kind) + data
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_string, value))
    array = np.asarray(value) if isinstance(value, list | tuple | np.ndarray) else np.empty((0, 0))
    if array.ndim != 1:
        raise TypeError(f"write_gguf: {name} is {value!r:.60}; a value is a number, text, or a flat list of them")
    kind, data = _numbers(name, array, value)
    return struct.pack("<IIQ", ARRAY, kind, len(array)) + data


def _numbers(name: str, array: Array, value: Any) -> tuple[int, bytes]:
    """The type that numbers are written in, and their bytes."""
    if array.dtype == bool:
        return BOOL, array.astype(np.uint8).tobytes()
    typed = isinstance(value, np.generic | np.ndarray)
    if not typed and array.dtype.kind == "i":
        fits = next((dtype for dtype in ("<u4", "<i4") if _within(array, dtype)), array.dtype)
        array = array.astype(fits)
    if not typed and array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            short = array.astype("<f4")
        array = short if np.array_equal(short, array, equal_nan=True) else array
    dtype = array.dtype.newbyteorder("<")
    if dtype not in NUMBERS:
        raise TypeError(f"write_gguf: {name} is {value!r:.60}; numbers have 8 to 64 bits, floats 32 or 64")
    return NUMBERS[dtype], array.astype(dtype).tobytes()


def _within(array: Array, dtype: str) -> bool:
    """Whether integers lie within a type's range."""
    limits = np.iinfo(dtype)
    return bool(((array >= limits.min) & (array <= limits.max)).all())
