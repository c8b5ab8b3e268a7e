"""Few bits in memory: two codes of 4 bits in a byte, and bfloat16, which NumPy does not have, as uint16."""

from __future__ import annotations

import numpy as np

from tinytorch.tensor import Array

MIDDLE = 8
"""The code of 4 bits that stands for 0 where there is no zero point: codes have no sign."""


def pack(levels: Array) -> Array:
    """Integers from -8 to 7, (..., n), as bytes (..., n / 2): the first of two in the low half, both moved up by 8.

    >>> pack(np.array([[-8, 7, 0, 1]], np.int8)).tolist()
    [[240, 152]]
    """
    codes = (levels + np.int8(MIDDLE)).astype(np.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4


def unpack(packed: Array) -> Array:
    """Bytes (..., n / 2) as codes from 0 to 15, (..., n) uint8.

    >>> unpack(np.array([[240, 152]], np.uint8)).tolist()
    [[0, 15, 8, 9]]
    """
    codes = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), np.uint8)
    np.bitwise_and(packed, 15, out=codes[..., 0::2])
    np.right_shift(packed, 4, out=codes[..., 1::2])
    return codes


def as_bfloat16(x: Array) -> Array:
    """The upper halves of the float32 nearest to x, of two the even one: uint16.

    >>> as_bfloat16(np.array([1.0, 1.00390625, 1.01171875], np.float32)).tolist()  # 1 + 1/256 and 1 + 3/256 are halfway
    [16256, 16256, 16258]
    """
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite
        bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded: Array = (bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))) >> np.uint32(16)
    return np.where(np.isnan(x), 0x7FC0, rounded).astype(np.uint16)


def from_bfloat16(bits: Array) -> Array:
    """The float32 whose upper halves these uint16 are.

    >>> from_bfloat16(np.array([16256, 16457], np.uint16))
    array([1.      , 3.140625], dtype=float32)
    """
    return np.left_shift(bits, 16, dtype=np.uint32).view(np.float32)
