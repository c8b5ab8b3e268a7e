"""What a formula knows about an array."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np


class Shaped(NamedTuple):
    """The shape and dtype of an array, without its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the elements."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) or "1"


def shaped(entry: Any) -> Any:
    """An input from a log: (shape, dtype) as `Shaped`, a scalar or None as it is."""
    return Shaped(*entry) if type(entry) is tuple else entry
