"""What codes must look like, for all that computes with them."""

from __future__ import annotations

import numpy as np

from tinytorch.tensor import Array, ShapeError


def check_codes(
    name: str, x: Array | None, weight: Array, scale: Array | None, zero_point: Array | None, bias: Array | None
) -> tuple[int, int]:
    """How many rows there are and how many weights in each. Raises ShapeError or TypeError for what does not fit."""
    integers, halves = weight.dtype in (np.int8, np.uint8), weight.dtype == np.uint16 or weight.dtype.kind == "f"
    if weight.ndim != 2 or not (integers or halves) or integers == (scale is None):
        raise TypeError(
            f"{name}: weight is {weight.shape} {weight.dtype} {'without' if scale is None else 'with'} scales; "
            "it must be (out, in) int8 or (out, in / 2) uint8 with scales, or of 16 bits without"
        )
    m, n = weight.shape[0], weight.shape[1] * (2 if weight.dtype == np.uint8 else 1)
    if scale is not None and (scale.ndim != 2 or scale.shape[0] != m or scale.shape[1] < 1 or n % scale.shape[1]):
        raise ShapeError(f"{name}: scale is {scale.shape} for {m} rows of {n} weights; it must be (rows, groups)")
    if zero_point is not None and (
        scale is None or zero_point.shape != scale.shape or zero_point.dtype != weight.dtype
    ):
        raise ShapeError(
            f"{name}: zero_point is {zero_point.shape} {zero_point.dtype}; it must be of the shape of scale, "
            f"and {weight.dtype}"
        )
    if x is not None and (np.ndim(x) == 0 or x.shape[-1] != n):
        raise ShapeError(f"{name}: x of shape {np.shape(x)} for {n} input features; the last axis must have that size")
    if bias is not None and np.shape(bias) != (m,):
        raise ShapeError(f"{name}: bias of shape {np.shape(bias)} for {m} output features; it must be ({m},)")
    return m, n
