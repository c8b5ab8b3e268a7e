"""`QuantizedModule`: what layers of integers have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tinytorch.layers import Module
from tinytorch.layers.lowering import Lowered
from tinytorch.tensor import Array, Tensor

from .codes import Codes, dequantize_rows
from .half import Half
from .scheme import Scheme


class QuantizedModule(Module):
    """A layer whose weight is `Codes`, in the buffers `weight`, `scale` and `zero_point` (None where symmetric)."""

    replaces: ClassVar[type[Module]]
    """The layer that it is made of."""

    weight: Tensor
    scale: Tensor | None
    zero_point: Tensor | None

    def __init__(self, scheme: Scheme | Half, rows: int, n: int, dtype: npt.DTypeLike | None = None) -> None:
        self.scheme = scheme
        for name in Codes._fields:
            self.register_buffer(name, None)
        self.hold(scheme.empty(rows, n, dtype, type(self).__name__))

    @staticmethod
    def rows_of(layer: Any) -> Array:
        """The weight of a layer that can be quantized, (outputs, weights of each)."""
        raise NotImplementedError

    @classmethod
    def check(cls, scheme: Scheme | Half, activations: str | None, owner: str) -> None:
        """Raise QuantizationError where a layer of this kind cannot have such codes and inputs."""

    @classmethod
    def from_float(cls, layer: Any, scheme: Scheme | Half, codes: Codes | None = None) -> Self:
        """What takes the place of `layer`, with its bias; `codes` unless its weights are to be rounded here."""
        raise NotImplementedError

    def to_float(self) -> Module:
        """A layer of floating-point weights that computes the same."""
        raise NotImplementedError

    def hold(self, codes: Codes) -> Self:
        """Take these codes, without copying them."""
        self.weight = Tensor(codes.weight, codes.weight.dtype)
        self.scale, self.zero_point = _tensor(codes.scale), _tensor(codes.zero_point)
        return self

    def share(self, other: QuantizedModule) -> Self:
        """Take the codes of another layer, and stay the same when they change."""
        self.weight, self.scale, self.zero_point = other.weight, other.scale, other.zero_point
        return self

    @property
    def codes(self) -> Codes:
        """The arrays of the codes."""
        return Codes(self.weight.data, _array(self.scale), _array(self.zero_point))

    def numbers(self) -> Array:
        """What the codes stand for, (rows, n), in the dtype that the layer computes in."""
        return dequantize_rows(*self.codes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that the layer computes in: that of its scales, float32 where there are none."""
        return np.dtype(np.float32) if self.scale is None else self.scale.dtype

    def describe(self) -> str:
        """What `repr` shows of the codes."""
        return self.scheme.describe()


class IntegerModule(QuantizedModule):
    """A quantized layer whose inputs may become integers of 8 bits, as `activations` says: None, "dynamic" or "static".

    Static inputs have one `input_scale` and `input_zero_point`, buffers without axes that `calibrate` fills in.
    """

    activations: str | None = None
    input_scale: Tensor | None
    input_zero_point: Tensor | None

    def expect(self, activations: str | None) -> None:
        """Say what inputs become. Scales of static ones are NaN until they are calibrated."""
        self.activations = activations
        static = activations == "static"
        self.register_buffer("input_scale", Tensor(np.array(np.nan), self.dtype) if static else None)
        self.register_buffer("input_zero_point", Tensor(np.array(0, np.int8), np.int8) if static else None)

    @classmethod
    def from_float(
        cls, layer: Any, scheme: Scheme | Half, codes: Codes | None = None, activations: str | None = None
    ) -> Self:
        raise NotImplementedError

    def describe(self) -> str:
        return self.scheme.describe() + (f", activations={self.activations!r}" if self.activations else "")


def lowered_with(function: Lowered, *held: Tensor | None) -> Lowered:
    """`function(x, *held)` as a function of x, with the numbers that the tensors hold when it runs."""
    while held and held[-1] is None:
        held = held[:-1]

    def lowered(x: Array) -> Array:
        return np.asarray(function(x, *map(_array, held)))

    return lowered


def _tensor(array: Array | None) -> Tensor | None:
    return None if array is None else Tensor(array, array.dtype)


def _array(tensor: Tensor | None) -> Array | None:
    return None if tensor is None else tensor.data
