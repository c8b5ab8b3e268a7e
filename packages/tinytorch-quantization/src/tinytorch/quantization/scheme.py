"""`Scheme`: how a row of weights becomes integers of few bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.layers.functional import row_blocks
from tinytorch.tensor import Array, check_int

from .codes import Codes
from .errors import QuantizationError
from .half import Half
from .packing import MIDDLE, pack


@dataclass(frozen=True)
class Scheme:
    """`bits` from 2 to 8 per weight, and a scale for each group of `group_size` weights of a row (None: for a row).

    Symmetric codes reach from -(2^(bits - 1) - 1) to 2^(bits - 1) - 1 and the largest magnitude of a group is one of
    the ends. Asymmetric ones use all 2^bits codes between the least and the largest number (0 is always among those
    that are represented exactly). Codes of up to 4 bits take half a byte, others a byte.

    >>> Scheme(bits=4, group_size=32)
    Scheme(bits=4, group_size=32, symmetric=True)
    """

    bits: int = 8
    group_size: int | None = None
    symmetric: bool = True

    def __post_init__(self) -> None:
        if check_int("quantize", "bits", self.bits, minimum=2) > 8:
            raise QuantizationError(f"quantize: bits is {self.bits}; integers have 2 to 8")
        if self.group_size is not None:
            check_int("quantize", "group_size", self.group_size, minimum=1)
        if not isinstance(self.symmetric, bool):
            raise TypeError(f"quantize: symmetric is {self.symmetric!r}; it must be True or False")

    @property
    def packed(self) -> bool:
        """Whether two codes share a byte."""
        return self.bits <= 4

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the largest code, counted from the middle of the range."""
        largest = 2 ** (self.bits - 1) - 1
        return (-largest if self.symmetric else -largest - 1), largest

    def groups(self, n: int, owner: str = "quantize") -> int:
        """How many groups a row of `n` weights has. Raises QuantizationError where bits or groups do not divide."""
        size = n if self.group_size is None else self.group_size
        if n % size:
            raise QuantizationError(
                f"{owner}: rows of {n} weights in groups of {size}; the size must divide {n}: choose another, "
                "None for one group per row, or leave the layer out with exclude="
            )
        if self.packed and n % 2:
            raise QuantizationError(
                f"{owner}: rows of {n} weights, two in a byte; use more than 4 bits, or leave the layer out: exclude="
            )
        return n // size

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of a layer that say the same."""
        return {"bits": self.bits, "group_size": self.group_size, "symmetric": self.symmetric}

    def empty(self, rows: int, n: int, dtype: npt.DTypeLike | None = None, owner: str = "quantize") -> Codes:
        """Codes of zeros with scales of 1, to be filled."""
        groups = self.groups(n, owner)
        scale = np.ones((rows, groups), scale_dtype(np.dtype(dtype or np.float32)))
        if self.packed:
            weight = np.full((rows, n // 2), MIDDLE << 4 | MIDDLE, np.uint8)
            return Codes(weight, scale, None if self.symmetric else np.full((rows, groups), MIDDLE, np.uint8))
        return Codes(np.zeros((rows, n), np.int8), scale, None if self.symmetric else np.zeros((rows, groups), np.int8))

    def quantize(self, rows: Array, owner: str = "quantize") -> Codes:
        """Round each weight of `rows` (m, n) to the nearest code.

        Raises QuantizationError for infinities and NaN, and as `groups` does.

        >>> from tinytorch.quantization import dequantize_rows
        >>> codes = Scheme(bits=8).quantize(np.array([[1.0, -0.5, 0.003]], np.float32))
        >>> codes.weight.tolist(), dequantize_rows(*codes).round(3).tolist()
        ([[127, -64, 0]], [[1.0, -0.5040000081062317, 0.0]])
        """
        m, n = rows.shape
        codes, groups = self.empty(m, n, rows.dtype, owner), self.groups(n, owner)
        for block in row_blocks(m, n):
            grouped = rows[block].reshape(-1, groups, n // groups)
            scale, zero = self.fit(grouped, scale_dtype(rows.dtype), owner)
            self.store(codes, block, self.levels(grouped, scale, zero), scale, zero)
        return codes

    def fit(self, grouped: Array, dtype: npt.DTypeLike, owner: str = "quantize") -> tuple[Array, Array]:
        """The scale of each group (..., group_size) of weights, and its zero point, counted from the middle: (...)."""
        lowest, largest = self.bounds
        low, high = grouped.min(axis=-1).astype(dtype), grouped.max(axis=-1).astype(dtype)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise QuantizationError(f"{owner}: infinity or NaN among the weights has no code; look for what made it")
        if self.symmetric:
            scale = np.maximum(-low, high) / largest
            scale[scale == 0] = 1  # a group of zeros
            return scale, np.zeros(scale.shape, np.int8)
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        scale = high / (largest - lowest) - low / (largest - lowest)  # the difference alone could overflow
        scale[scale == 0] = 1
        return scale, (np.rint(-low / scale) + lowest).clip(lowest, largest).astype(np.int8)

    def levels(self, grouped: Array, scale: Array, zero: Array) -> Array:
        """The codes of weights (..., group_size), counted from the middle of the range: the nearest ones."""
        return (np.rint(grouped / scale[..., None]) + zero[..., None]).clip(*self.bounds).astype(np.int8)

    def store(self, codes: Codes, rows: slice, levels: Array, scale: Array, zero: Array) -> None:
        """Write levels, scales and zero points, both counted from the middle, into some rows of `codes`."""
        levels = levels.reshape(len(levels), -1)
        codes.weight[rows] = pack(levels) if self.packed else levels
        if codes.scale is not None:
            codes.scale[rows] = scale
        if codes.zero_point is not None:
            codes.zero_point[rows] = zero + np.int8(MIDDLE) if self.packed else zero

    def describe(self) -> str:
        """What a layer shows of it: `int4, group_size=32, symmetric=False`."""
        group = "" if self.group_size is None else f", group_size={self.group_size}"
        return f"int{self.bits}{group}" + ("" if self.symmetric else ", symmetric=False")


def scheme_of(
    bits: int | str, group_size: int | None = None, symmetric: bool = True, activations: str | None = None
) -> Scheme | Half:
    """The scheme of a number of bits, or of "float16" or "bfloat16", which have no groups.

    Raises QuantizationError for what does not go together with integer inputs, `activations`.
    """
    if activations not in (None, "dynamic", "static"):
        raise QuantizationError(f"quantize: activations is {activations!r}; it must be None, 'dynamic' or 'static'")
    if activations and (isinstance(bits, str) or not symmetric):
        raise QuantizationError(
            "quantize: integer activations need integer weights without zero points; use 2 to 8 bits and symmetric=True"
        )
    if not isinstance(bits, str):
        return Scheme(bits, group_size, symmetric)
    if group_size is not None or not symmetric:
        raise QuantizationError(f"quantize: {bits!r} with groups or zero points; floats have neither, leave them out")
    return Half(bits)


def scale_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32, and float64 for weights of float64, so that a model keeps the dtype in which it computes."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)
