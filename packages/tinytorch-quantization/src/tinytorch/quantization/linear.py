"""x @ weight.T + bias, where the weight is integers: the numbers are made of them block by block and thrown away."""

from __future__ import annotations

from math import prod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tinytorch.autograd import defvjp
from tinytorch.layers import Linear, Parameter, init, lowers
from tinytorch.layers.checks import positive
from tinytorch.layers.functional import row_blocks
from tinytorch.layers.lowering import Lowered
from tinytorch.tensor import Array, ShapeError, Tensor, primitive, zeros

from .module import QuantizedModule
from .scheme import Codes, Scheme, dequantize_rows


@primitive(fused=True)
def quantized_linear(
    x: Array, weight: Array, scale: Array, zero_point: Array | None = None, bias: Array | None = None, /
) -> tuple[Array, None]:
    """The product with the numbers that codes stand for: (..., in), (out, in) -> (..., out), plus bias (out,).

    `weight` is (out, in) int8 or (out, in / 2) uint8; `scale` and `zero_point` are (out, groups): see `Codes`. The
    arithmetic is that of the scales' dtype. A gradient reaches x and the bias, the codes are constants.

    >>> quantized_linear(Tensor([[1.0, 2.0]]), np.array([[10, 20]], np.int8), Tensor([[0.5]]))
    Tensor([[25.]])
    """
    m, n = check_codes("quantized_linear", x, weight, scale, zero_point, bias)
    x = np.asarray(x, None if x.dtype.kind == "f" else scale.dtype)
    rows = x.reshape(prod(x.shape[:-1]), n)
    out = np.empty((len(rows), m), np.result_type(x, scale))
    for block in row_blocks(m, n):
        numbers = _numbers(weight, scale, zero_point, block)  # (m', n)
        np.matmul(rows, numbers.T, out=out[:, block])
    if bias is not None:
        out = out + bias
    return out.reshape(*x.shape[:-1], m), None


def check_codes(
    name: str, x: Array, weight: Array, scale: Array, zero_point: Array | None, bias: Array | None
) -> tuple[int, int]:
    """How many rows there are and how many weights in each. Raises ShapeError or TypeError for what does not fit."""
    if weight.ndim != 2 or weight.dtype not in (np.int8, np.uint8):
        raise TypeError(
            f"{name}: weight is {weight.shape} {weight.dtype}; it must be (out, in) int8, or (out, in / 2) uint8"
        )
    m, n = weight.shape[0], weight.shape[1] * (2 if weight.dtype == np.uint8 else 1)
    if scale.ndim != 2 or scale.shape[0] != m or scale.shape[1] < 1 or n % scale.shape[1]:
        raise ShapeError(f"{name}: scale is {scale.shape} for {m} rows of {n} weights; it must be (rows, groups)")
    if zero_point is not None and (zero_point.shape != scale.shape or zero_point.dtype != weight.dtype):
        raise ShapeError(
            f"{name}: zero_point is {zero_point.shape} {zero_point.dtype}; it must be {scale.shape} {weight.dtype}"
        )
    if np.ndim(x) == 0 or x.shape[-1] != n:
        raise ShapeError(f"{name}: x of shape {np.shape(x)} for {n} input features; the last axis must have that size")
    if bias is not None and np.shape(bias) != (m,):
        raise ShapeError(f"{name}: bias of shape {np.shape(bias)} for {m} output features; it must be ({m},)")
    return m, n


def _numbers(weight: Array, scale: Array, zero_point: Array | None, rows: slice) -> Array:
    return dequantize_rows(weight[rows], scale[rows], None if zero_point is None else zero_point[rows])


def _backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...],
    x: Array, weight: Array, scale: Array, zero_point: Array | None = None, bias: Array | None = None,
) -> tuple[Array | None, ...]:  # fmt: skip
    rows = g.reshape(prod(g.shape[:-1]), len(weight))
    dx = dbias = None
    if needs[0]:
        dx = np.zeros(x.shape, g.dtype)
        flat = dx.reshape(len(rows), x.shape[-1])
        for block in row_blocks(len(weight), x.shape[-1]):
            flat += rows[:, block] @ _numbers(weight, scale, zero_point, block)
    if needs[4]:
        dbias = rows.sum(axis=0)
    return dx, None, None, None, dbias


def _by_parts(x: Any, weight: Any, scale: Any, zero_point: Any = None, bias: Any = None) -> Tensor:
    zero = None if zero_point is None else np.asarray(zero_point)
    product = np.matmul(x, dequantize_rows(np.asarray(weight), np.asarray(scale), zero).T)
    return product if bias is None else product + bias


defvjp(quantized_linear, fused=_backward, composition=_by_parts, keep=("inputs",))


class QuantizedLinear(QuantizedModule):
    """`Linear` with weights of 2 to 8 bits: (..., in_features) -> (..., out_features), in float arithmetic.

    `weight` holds codes, (out_features, in_features) int8, or two in each byte of (out_features, in_features / 2)
    uint8; `scale` and, unless symmetric, `zero_point` are (out_features, groups). They are buffers, part of
    `state_dict()` and not learned; the bias is still a parameter. `bits`, `group_size` and `symmetric` are those of
    `Scheme`.

    >>> layer = QuantizedLinear.from_float(Linear(64, 32), Scheme(bits=4, group_size=16))
    >>> layer
    QuantizedLinear(64, 32, int4, group_size=16)  32 parameters
    >>> layer(zeros(5, 64)).shape, layer.nbytes
    ((5, 32), 1664)
    """

    replaces = Linear

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, bits: int = 8, group_size: int | None = None,
        symmetric: bool = True, dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        positive("QuantizedLinear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        super().__init__(Scheme(bits, group_size, symmetric), out_features, in_features, dtype)
        self.bias: Parameter | None = Parameter(zeros(out_features, dtype=dtype)) if bias else None

    @staticmethod
    def rows_of(layer: Linear) -> Array:
        return layer.weight.data.T  # (in, out) -> (out, in)

    @classmethod
    def from_float(cls, layer: Linear, scheme: Scheme, codes: Codes | None = None) -> Self:
        made = cls(
            layer.in_features, layer.out_features, layer.bias is not None, bits=scheme.bits,
            group_size=scheme.group_size, symmetric=scheme.symmetric, dtype=layer.weight.dtype,
        )  # fmt: skip
        made.bias = layer.bias
        return made.hold(codes or scheme.quantize(cls.rows_of(layer)))

    def to_float(self) -> Linear:
        with init.undrawn():
            layer = Linear(self.in_features, self.out_features, self.bias is not None, dtype=self.scale.dtype)
        layer.weight = Parameter(self.numbers().T.copy(), self.scale.dtype)  # (out, in) -> (in, out)
        layer.bias = self.bias
        return layer

    def forward(self, x: Any) -> Tensor:
        return quantized_linear(x, self.weight, self.scale, self.zero_point, self.bias)

    @lowers("forward")
    def lower(self) -> Lowered:
        return self._lowered(quantized_linear.lower(), self.bias)

    def extra_repr(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}, {self.scheme.describe()}"
