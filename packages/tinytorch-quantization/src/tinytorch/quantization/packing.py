"""Two codes of 4 bits in a byte."""

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
