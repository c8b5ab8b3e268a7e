"""How the numbers of a GGUF tensor are stored: floats, or blocks of 32 or 256 integers with a scale in float16.

Source: ggml, `ggml-common.h` (layouts) and `ggml-quants.c` (rounding).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinytorch.tensor import Array

Q8_0 = np.dtype([("d", "<f2"), ("q", "i1", 32)])
Q4_0 = np.dtype([("d", "<f2"), ("q", "u1", 16)])
Q4_1 = np.dtype([("d", "<f2"), ("m", "<f2"), ("q", "u1", 16)])
Q5_0 = np.dtype([("d", "<f2"), ("high", "u1", 4), ("q", "u1", 16)])
Q5_1 = np.dtype([("d", "<f2"), ("m", "<f2"), ("high", "u1", 4), ("q", "u1", 16)])
Q4_K = np.dtype([("d", "<f2"), ("m", "<f2"), ("scales", "u1", 12), ("q", "u1", 128)])
Q5_K = np.dtype([("d", "<f2"), ("m", "<f2"), ("scales", "u1", 12), ("high", "u1", 32), ("q", "u1", 128)])
Q6_K = np.dtype([("q", "u1", 128), ("high", "u1", 64), ("scales", "i1", 16), ("d", "<f2")])

CHUNK = 1 << 12  # blocks that are converted at once, so that what is computed on the way stays small


class Format(NamedTuple):
    """A type of tensors: its number in files, how many numbers one item of `dtype` stores, and what decodes them."""

    number: int
    block: int
    dtype: np.dtype[Any]
    decode: Callable[[Array], Array] | None = None  # items (n,) -> numbers (n, block)

    def nbytes(self, size: int) -> int:
        """Bytes of `size` numbers."""
        return size // self.block * self.dtype.itemsize


def nibbles(packed: Array) -> Array:
    """The low four bits of each byte, then the high ones: (n, 16) -> (n, 32)."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def _bits(packed: Array) -> Array:
    """Each bit as a number, the lowest of a byte first: (n, 4) -> (n, 32)."""
    return np.unpackbits(packed, axis=-1, bitorder="little")


def _scaled(d: Array, q: Array, m: Array | None = None) -> Array:
    """d q, or d q + m, in float32: d and m are (n,), q is (n, 32)."""
    product = d.astype(np.float32)[:, None] * q
    return product if m is None else product + m.astype(np.float32)[:, None]


def _subscales(scales: Array) -> tuple[Array, Array]:
    """The eight scales and eight minima of six bits that a K block packs: (n, 12) -> (n, 8) twice."""
    low, middle, high = scales[:, :4], scales[:, 4:8], scales[:, 8:]
    d = np.concatenate([low & 63, (high & 15) | (low >> 2 & 48)], axis=-1)
    m = np.concatenate([middle & 63, (high >> 4) | (middle >> 2 & 48)], axis=-1)
    return d, m


def _affine(blocks: Array, q: Array) -> Array:
    """d scale q - m minimum, of eight groups of 32: (n, 8, 32) -> (n, 256)."""
    scales, minima = _subscales(blocks["scales"])
    d = blocks["d"].astype(np.float32)[:, None] * scales  # (n, 8)
    m = blocks["m"].astype(np.float32)[:, None] * minima
    return (d[..., None] * q - m[..., None]).reshape(len(blocks), 256)


def _q4_k(blocks: Array) -> Array:
    return _affine(blocks, nibbles(blocks["q"].reshape(-1, 4, 32)).reshape(-1, 8, 32))


def _q5_k(blocks: Array) -> Array:
    high = blocks["high"][:, None] >> np.arange(8, dtype=np.uint8)[:, None] & 1  # (n, 8, 32): bit i is group i's
    return _affine(blocks, nibbles(blocks["q"].reshape(-1, 4, 32)).reshape(-1, 8, 32) | high << 4)


def _q6_k(blocks: Array) -> Array:
    low = nibbles(blocks["q"].reshape(-1, 2, 64)).reshape(-1, 2, 4, 32)
    high = blocks["high"].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3  # (n, 2, 4, 32)
    q = (low | high << 4).astype(np.int8) - np.int8(32)
    d = blocks["d"].astype(np.float32)[:, None] * blocks["scales"]  # (n, 16)
    return (d[..., None] * q.reshape(-1, 16, 16)).reshape(len(blocks), 256)


def _bfloat16(items: Array) -> Array:
    return np.left_shift(items, 16, dtype=np.uint32).view(np.float32)[:, None]


FORMATS: dict[str, Format] = {
    "F32": Format(0, 1, np.dtype("<f4"), lambda x: x[:, None]),
    "F16": Format(1, 1, np.dtype("<f2"), lambda x: x[:, None]),
    "Q4_0": Format(2, 32, Q4_0, lambda x: _scaled(x["d"], nibbles(x["q"]).astype(np.int8) - np.int8(8))),
    "Q4_1": Format(3, 32, Q4_1, lambda x: _scaled(x["d"], nibbles(x["q"]), x["m"])),
    "Q5_0": Format(
        6, 32, Q5_0,
        lambda x: _scaled(x["d"], (nibbles(x["q"]) | _bits(x["high"]) << 4).astype(np.int8) - np.int8(16)),
    ),
    "Q5_1": Format(7, 32, Q5_1, lambda x: _scaled(x["d"], nibbles(x["q"]) | _bits(x["high"]) << 4, x["m"])),
    "Q8_0": Format(8, 32, Q8_0, lambda x: _scaled(x["d"], x["q"])),
    "Q8_1": Format(9, 32, np.dtype("V40")),
    "Q2_K": Format(10, 256, np.dtype("V84")),
    "Q3_K": Format(11, 256, np.dtype("V110")),
    "Q4_K": Format(12, 256, Q4_K, _q4_k),
    "Q5_K": Format(13, 256, Q5_K, _q5_k),
    "Q6_K": Format(14, 256, Q6_K, _q6_k),
    "Q8_K": Format(15, 256, np.dtype("V292")),
    "IQ4_NL": Format(20, 32, np.dtype("V18")),
    "I8": Format(24, 1, np.dtype("i1"), lambda x: x[:, None]),
    "I16": Format(25, 1, np.dtype("<i2"), lambda x: x[:, None]),
    "I32": Format(26, 1, np.dtype("<i4"), lambda x: x[:, None]),
    "I64": Format(27, 1, np.dtype("<i8"), lambda x: x[:, None]),
    "F64": Format(28, 1, np.dtype("<f8"), lambda x: x[:, None]),
    "BF16": Format(30, 1, np.dtype("<u2"), _bfloat16),
}  # fmt: skip
"""The types by name, as ggml numbers them. Those without `decode` can be listed, and their numbers cannot be read."""

BY_NUMBER = {format.number: name for name, format in FORMATS.items()}


def decode(kind: str, items: Array) -> Array:
    """The numbers that items of a type store, flat: those of plain types as they are, all others in float32.

    >>> decode("Q8_0", encode("Q8_0", np.full((1, 32), 127.0))).tolist() == [127.0] * 32
    True
    """
    read = FORMATS[kind].decode
    assert read is not None, kind
    if FORMATS[kind].block == 1:
        return read(items).reshape(-1)
    out = np.empty((len(items), FORMATS[kind].block), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # a file may hold scales that are not finite
        for start in range(0, len(items), CHUNK):
            out[start : start + CHUNK] = read(items[start : start + CHUNK])
    return out.reshape(-1)


def encode(kind: str, array: Array) -> Array:
    """The items that store numbers (..., n), n a multiple of the block, as ggml rounds them, flat.

    Raises ValueError for numbers that are not finite or too large for the type.
    """
    form = FORMATS[kind]
    x = np.ascontiguousarray(array).reshape(-1, form.block)
    items = np.empty(len(x), form.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(x), CHUNK):
            items[start : start + CHUNK] = WRITTEN[kind](x[start : start + CHUNK])
    held = items if form.block == 1 else items["d"]
    lost = ~np.isfinite(held) & np.isfinite(x[:, 0]) if form.block == 1 else ~np.isfinite(held)
    if lost.any():
        raise ValueError(f"{kind} cannot hold these numbers, up to {np.abs(x).max():g}; look for NaN, or take F32")
    return items


def _encode_q8_0(x: Array) -> Array:
    x = x.astype(np.float32, copy=False)  # (n, 32)
    d = np.abs(x).max(axis=1) / np.float32(127)  # (n,), NaN where one number is
    y = x * _inverse(d)[:, None]
    size = np.abs(y)
    whole = np.floor(size)
    whole += size - whole >= 0.5  # halves go away from zero
    return q8_0(d, np.copysign(whole, y).astype(np.int8))


def _encode_q4_0(x: Array) -> Array:
    x = x.astype(np.float32, copy=False)  # (n, 32)
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)[:, 0]  # with its sign
    d = largest / np.float32(-8)
    q = np.trunc(x * _inverse(d)[:, None] + np.float32(8.5)).clip(0, 15).astype(np.uint8)
    return q4_0(d, q.astype(np.int8) - np.int8(8))


def _inverse(d: Array) -> Array:
    """1 / d, and 0 where that is not finite."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / d
    return np.where(np.isinf(inverse), np.float32(0), inverse)


def q8_0(scales: Array, codes: Array) -> Array:
    """Blocks of codes (n, 32) from -128 to 127 with scales (n,), which are rounded to float16."""
    blocks = np.empty(len(codes), Q8_0)
    blocks["d"], blocks["q"] = scales, codes
    return blocks


def q4_0(scales: Array, codes: Array) -> Array:
    """Blocks of codes (n, 32) from -8 to 7 with scales (n,), which are rounded to float16."""
    blocks = np.empty(len(codes), Q4_0)
    q = (codes + np.int8(8)).astype(np.uint8)
    blocks["d"], blocks["q"] = scales, q[:, :16] | q[:, 16:] << 4
    return blocks


PLAIN = ("F32", "F16", "F64", "I8", "I16", "I32", "I64")
WRITTEN: dict[str, Callable[[Array], Array]] = {
    **dict.fromkeys(PLAIN, lambda x: x[:, 0]), "Q8_0": _encode_q8_0, "Q4_0": _encode_q4_0,
}  # fmt: skip
"""What makes items of numbers (n, block), by type."""
