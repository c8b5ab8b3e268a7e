"""Weights of 16 bits: float16, or bfloat16, which is the upper half of a float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Array

from .codes import Codes
from .errors import QuantizationError
from .packing import as_bfloat16, from_bfloat16


@dataclass(frozen=True)
class Half:
    """Each weight by itself as a float16 (11 digits of base 2, up to 65504) or bfloat16 (8 digits, as far as float32).

    >>> Half("bfloat16").quantize(np.array([[1.0, 3.14159]], np.float32)).weight
    array([[16256, 16457]], dtype=uint16)
    """

    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "bfloat16"):
            raise QuantizationError(f"quantize: bits is {self.dtype!r}; it must be 2 to 8, 'float16' or 'bfloat16'")

    def empty(self, rows: int, n: int, dtype: npt.DTypeLike | None = None, owner: str = "quantize") -> Codes:
        """Codes of zeros, to be filled."""
        return Codes(np.zeros((rows, n), np.float16 if self.dtype == "float16" else np.uint16), None)

    def quantize(self, rows: Array, owner: str = "quantize") -> Codes:
        """Round each weight to the nearest of these numbers, of two the even one. Raises QuantizationError for NaN,
        infinities and what would become infinite.
        """
        if self.dtype == "float16":
            with np.errstate(over="ignore"):
                weight = rows.astype(np.float16)
            finite = np.isfinite(weight)
        else:
            weight = as_bfloat16(rows)
            finite = np.isfinite(from_bfloat16(weight))
        if not finite.all():
            worst = rows[~finite].flat[0]
            raise QuantizationError(
                f"{owner}: {worst} is infinite or NaN as a {self.dtype}; use another number of bits"
            )
        return Codes(np.ascontiguousarray(weight), None)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of a layer that say the same."""
        return {"bits": self.dtype}

    def describe(self) -> str:
        """What a layer shows of it."""
        return self.dtype
