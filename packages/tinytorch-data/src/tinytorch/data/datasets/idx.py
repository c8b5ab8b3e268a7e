"""The IDX format of MNIST: a magic number that says type and rank, the sizes, then the numbers, all big-endian."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_BYTES = 1 << 30


def read_idx(path: str | Path, most_bytes: int = MOST_BYTES) -> npt.NDArray[Any]:
    """The array in an IDX file, gzipped or not, in native byte order.

    Source of the format: LeCun, Cortes and Burges, The MNIST database. Raises ValueError for a file that is malformed,
    truncated, longer than it says, or holds more than `most_bytes` of data.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "numbers.idx")
    ...     _ = path.write_bytes(b"\\0\\0\\x08\\x01" + b"\\0\\0\\0\\x02" + b"\\x07\\x09")  # two bytes
    ...     read_idx(path)
    array([7, 9], dtype=uint8)
    """
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not zipped:
            return _parse(raw, str(path), most_bytes)
        try:
            with gzip.GzipFile(fileobj=raw) as plain:
                return _parse(plain, str(path), most_bytes)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path}: damaged gzip data ({error}); get the file again") from error


def _parse(file: BufferedIOBase, name: str, most_bytes: int) -> npt.NDArray[Any]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= 8:
        raise ValueError(f"{name}: starts with {magic.hex(' ') or 'nothing'}, not as IDX with 00 00, type and rank")
    dtype, rank = np.dtype(DTYPES[magic[2]]), magic[3]
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError(f"{name}: ends within its header; get the file again")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    if expected > most_bytes:
        raise ValueError(f"{name}: shape {shape} of {dtype} is {expected:,} bytes; at most {most_bytes:,} are read")
    data = file.read(expected)
    if len(data) < expected or file.read(1):
        found = f"{len(data):,}" if len(data) < expected else "more"
        raise ValueError(f"{name}: shape {shape} needs {expected:,} bytes of data, the file holds {found}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
