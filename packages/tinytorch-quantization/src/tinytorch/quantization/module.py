"""`QuantizedModule`: what layers of integers have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tinytorch.layers import Module
from tinytorch.layers.lowering import Lowered
from tinytorch.tensor import Array, Tensor

from .scheme import Codes, Scheme, dequantize_rows


class QuantizedModule(Module):
    """A layer whose weight is `Codes`, in the buffers `weight`, `scale` and `zero_point` (None where symmetric)."""

    replaces: ClassVar[type[Module]]
    """The layer that it is made of."""

    weight: Tensor
    scale: Tensor
    zero_point: Tensor | None

    def __init__(self, scheme: Scheme, rows: int, n: int, dtype: npt.DTypeLike | None = None) -> None:
        self.scheme = scheme
        for name in Codes._fields:
            self.register_buffer(name, None)
        self.hold(scheme.empty(rows, n, dtype, type(self).__name__))

    @staticmethod
    def rows_of(layer: Any) -> Array:
        """The weight of a layer that can be quantized, (outputs, weights of each)."""
        raise NotImplementedError

    @classmethod
    def from_float(cls, layer: Any, scheme: Scheme, codes: Codes | None = None) -> Self:
        """What takes the place of `layer`, with its bias; `codes` unless its weights are to be rounded here."""
        raise NotImplementedError

    def to_float(self) -> Module:
        """A layer of floating-point weights that computes the same."""
        raise NotImplementedError

    def hold(self, codes: Codes) -> Self:
        """Take these codes, without copying them."""
        self.weight, self.scale = _tensor(codes.weight), _tensor(codes.scale)
        self.zero_point = None if codes.zero_point is None else _tensor(codes.zero_point)
        return self

    def share(self, other: QuantizedModule) -> Self:
        """Take the codes of another layer, and stay the same when they change."""
        self.weight, self.scale, self.zero_point = other.weight, other.scale, other.zero_point
        return self

    @property
    def codes(self) -> Codes:
        """The arrays of the codes."""
        return Codes(self.weight.data, self.scale.data, None if self.zero_point is None else self.zero_point.data)

    def numbers(self) -> Array:
        """What the codes stand for, (rows, n), in the dtype of the scales."""
        return dequantize_rows(*self.codes)

    def _lowered(self, function: Lowered, bias: Tensor | None = None) -> Lowered:
        """`function(x, weight, scale, zero_point, bias)` as a function of x, with the numbers that stand there then."""
        held: tuple[Tensor | None, ...] = (self.weight, self.scale, self.zero_point, bias)
        while held[-1] is None:
            held = held[:-1]

        def lowered(x: Array) -> Array:
            return np.asarray(function(x, *(None if each is None else each.data for each in held)))

        return lowered


def _tensor(array: Array) -> Tensor:
    return Tensor(array, array.dtype)
