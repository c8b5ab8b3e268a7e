"""`Codes`: a matrix in few bits, and the numbers that it stands for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinytorch.tensor import Array

from .packing import MIDDLE, from_bfloat16, unpack


class Codes(NamedTuple):
    """A matrix of rows as integers: a number is scale * (code - zero_point), per group of a row.

    `weight` is (rows, n) int8, or (rows, n / 2) uint8, where each byte holds two codes from 0 to 15, the first in its
    low half. `scale` is (rows, groups) and floating point. `zero_point` is (rows, groups) of the dtype of the codes;
    None stands for 0, and for 8 where two codes share a byte. A matrix of 16 bits, (rows, n) float16, or uint16 for
    bfloat16, has neither.
    """

    weight: Array
    scale: Array | None = None
    zero_point: Array | None = None


def dequantize_rows(weight: Array, scale: Array | None = None, zero_point: Array | None = None) -> Array:
    """The numbers that codes stand for, (rows, n): in the dtype of the scales, float32 where there are none.

    Arguments are those of `Codes`.
    """
    if scale is None:
        numbers = from_bfloat16(weight) if weight.dtype == np.uint16 else weight
        return numbers.astype(np.result_type(numbers, np.float32), copy=False)
    levels = unpack(weight) if weight.dtype == np.uint8 else weight  # (rows, n)
    groups = scale.shape[1]
    grouped = levels.reshape(len(levels), groups, levels.shape[1] // groups).astype(scale.dtype)  # (rows, groups, size)
    if zero_point is not None:
        grouped -= zero_point[..., None]
    elif weight.dtype == np.uint8:
        grouped -= MIDDLE
    grouped *= scale[..., None]
    return grouped.reshape(levels.shape)
