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
from tinytorch.tensor import Array, Tensor, primitive, zeros

from .checks import check_codes
from .codes import Codes, dequantize_rows
from .half import Half
from .integers import integer_linear
from .module import IntegerModule, lowered_with
from .scheme import Scheme, scheme_of


@primitive(fused=True)
def quantized_linear(
    x: Array, weight: Array, scale: Array | None = None, zero_point: Array | None = None, bias: Array | None = None, /
) -> tuple[Array, None]:
    """The product with the numbers that codes stand for: (..., in), (out, in) -> (..., out), plus bias (out,).

    `weight` is (out, in) int8, (out, in / 2) uint8, or of 16 bits; `scale` and `zero_point` are (out, groups): see
    `Codes`. The numbers have the dtype of the scales. A gradient reaches x and the bias, the codes are constants.

    >>> quantized_linear(Tensor([[1.0, 2.0]]), np.array([[10, 20]], np.int8), Tensor([[0.5]]))
    Tensor([[25.]])
    """
    m, n = check_codes("quantized_linear", x, weight, scale, zero_point, bias)
    dtype = np.float32 if scale is None else scale.dtype
    x = np.asarray(x, None if x.dtype.kind == "f" else dtype)
    rows = x.reshape(prod(x.shape[:-1]), n)
    out = np.empty((len(rows), m), np.result_type(x, dtype))
    for block in row_blocks(m, n):
        numbers = _numbers(weight, scale, zero_point, block)  # (m', n)
        np.matmul(rows, numbers.T, out=out[:, block])
    if bias is not None:
        out = out + bias
    return out.reshape(*x.shape[:-1], m), None


def _numbers(weight: Array, scale: Array | None, zero_point: Array | None, rows: slice) -> Array:
    codes: Any = (None if each is None else each[rows] for each in (weight, scale, zero_point))
    return dequantize_rows(*codes)


def _backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...],
    x: Array, weight: Array, scale: Array | None = None, zero_point: Array | None = None, bias: Array | None = None,
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


def _by_parts(x: Any, weight: Any, scale: Any = None, zero_point: Any = None, bias: Any = None) -> Tensor:
    codes: Any = (None if each is None else np.asarray(each) for each in (weight, scale, zero_point))
    product = np.matmul(x, dequantize_rows(*codes).T)
    return product if bias is None else product + bias


defvjp(quantized_linear, fused=_backward, composition=_by_parts, keep=("inputs",))


class QuantizedLinear(IntegerModule):
    """`Linear` with weights of 2 to 8 bits, or 16: (..., in_features) -> (..., out_features).

    `weight` holds codes, (out_features, in_features) int8, or two in each byte of (out_features, in_features / 2)
    uint8; `scale` and, unless symmetric, `zero_point` are (out_features, groups). They are buffers, part of
    `state_dict()` and not learned; the bias is still a parameter. `bits`, `group_size` and `symmetric` are those of
    `quantize`; of 16 bits there are no scales, and bfloat16 are uint16. With `activations` the inputs become integers
    too.

    >>> layer = QuantizedLinear.from_float(Linear(64, 32), Scheme(bits=4, group_size=16))
    >>> layer
    QuantizedLinear(64, 32, int4, group_size=16)  32 parameters
    >>> layer(zeros(5, 64)).shape, layer.nbytes
    ((5, 32), 1664)
    """

    replaces = Linear

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, bits: int | str = 8,
        group_size: int | None = None, symmetric: bool = True, activations: str | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        positive("QuantizedLinear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        scheme = scheme_of(bits, group_size, symmetric, activations)
        super().__init__(scheme, out_features, in_features, dtype)
        self.expect(activations)
        self.bias: Parameter | None = Parameter(zeros(out_features, dtype=dtype)) if bias else None

    @staticmethod
    def rows_of(layer: Linear) -> Array:
        return layer.weight.data.T  # (in, out) -> (out, in)

    @classmethod
    def from_float(
        cls, layer: Linear, scheme: Scheme | Half, codes: Codes | None = None, activations: str | None = None
    ) -> Self:
        drawn = {"dtype": layer.weight.dtype, "activations": activations, **scheme.options}
        made = cls(layer.in_features, layer.out_features, layer.bias is not None, **drawn)
        made.bias = layer.bias
        return made.hold(codes or scheme.quantize(cls.rows_of(layer)))

    def to_float(self) -> Linear:
        with init.undrawn():
            layer = Linear(self.in_features, self.out_features, self.bias is not None, dtype=self.dtype)
        layer.weight = Parameter(self.numbers().T.copy(), self.dtype)  # (out, in) -> (in, out)
        layer.bias = self.bias
        return layer

    def forward(self, x: Any) -> Tensor:
        if self.activations is not None:
            return integer_linear(x, self.weight, self.scale, self.bias, self.input_scale, self.input_zero_point)
        return quantized_linear(x, self.weight, self.scale, self.zero_point, self.bias)

    @lowers("forward")
    def lower(self) -> Lowered:
        if self.activations is not None:
            held = (self.weight, self.scale, self.bias, self.input_scale, self.input_zero_point)
            return lowered_with(integer_linear.lower(), *held)
        return lowered_with(quantized_linear.lower(), self.weight, self.scale, self.zero_point, self.bias)

    def extra_repr(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}, {self.describe()}"
