"""Convolution with kernels of integers."""

from __future__ import annotations

from math import prod
from typing import Any, Self

import numpy.typing as npt

from tinytorch.layers import Parameter, init
from tinytorch.spatial import Conv2d, conv2d
from tinytorch.spatial.describing import describe
from tinytorch.tensor import Array, Tensor, zeros

from .codes import Codes
from .errors import QuantizationError
from .half import Half
from .integers import integer_conv2d
from .module import IntegerModule
from .scheme import Scheme, scheme_of


class QuantizedConv2d(IntegerModule):
    """`Conv2d` with kernels of 2 to 8 bits, or 16: (N, C, H, W) -> (N, out_channels, H', W').

    `weight` holds one row of codes per output channel, C/groups * kh * kw in the order of the kernel, with scales for
    each or for groups of `group_size` of them. Kernels are few numbers next to an image: all are made of the codes, and
    the convolution is that of floats, with its gradients.

    >>> QuantizedConv2d.from_float(Conv2d(1, 6, 5, padding=2), Scheme(bits=8))(zeros(2, 1, 28, 28)).shape
    (2, 6, 28, 28)
    """

    replaces = Conv2d

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, *, bits: int | str = 8, group_size: int | None = None,
        symmetric: bool = True, activations: str | None = None, dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        with init.undrawn():
            of = Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype=dtype)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding, self.dilation = of.kernel_size, of.stride, of.padding, of.dilation
        scheme = scheme_of(bits, group_size, symmetric, activations)
        self.check(scheme, activations, type(self).__name__)
        super().__init__(scheme, out_channels, prod(of.weight.shape[1:]), of.weight.dtype)
        self.expect(activations)
        self.bias: Parameter | None = Parameter(zeros(out_channels, dtype=dtype)) if bias else None

    @staticmethod
    def rows_of(layer: Conv2d) -> Array:
        return layer.weight.data.reshape(layer.out_channels, -1)  # (O, C/G, kh, kw) -> (O, C/G * kh * kw)

    @classmethod
    def check(cls, scheme: Scheme | Half, activations: str | None, owner: str) -> None:
        if activations is not None and isinstance(scheme, Scheme) and scheme.group_size is not None:
            raise QuantizationError(
                f"{owner}: groups of weights and integer inputs; a convolution has one or the other; see exclude="
            )

    @classmethod
    def from_float(
        cls, layer: Conv2d, scheme: Scheme | Half, codes: Codes | None = None, activations: str | None = None
    ) -> Self:
        made = cls(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
            layer.groups, layer.bias is not None, activations=activations, dtype=layer.weight.dtype,
            **scheme.options,
        )  # fmt: skip
        made.bias = layer.bias
        return made.hold(codes or scheme.quantize(cls.rows_of(layer)))

    def to_float(self) -> Conv2d:
        with init.undrawn():
            layer = Conv2d(
                self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding, self.dilation,
                self.groups, self.bias is not None, dtype=self.dtype,
            )  # fmt: skip
        layer.weight = Parameter(self.kernels(), self.dtype)
        layer.bias = self.bias
        return layer

    def kernels(self) -> Array:
        """The kernels that the codes stand for: (out_channels, in_channels / groups, kh, kw)."""
        return self.numbers().reshape(self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def forward(self, x: Any) -> Tensor:
        places: dict[str, Any] = {
            "stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups,
        }  # fmt: skip
        if self.activations is not None:
            held = (self.weight, self.scale, self.bias, self.input_scale, self.input_zero_point)
            return integer_conv2d(x, *held, kernel_size=self.kernel_size, **places)
        return conv2d(x, Tensor(self.kernels(), self.dtype), self.bias, **places)

    def extra_repr(self) -> str:
        sizes = describe(
            self.in_channels, self.out_channels, self.kernel_size, stride=(self.stride, (1, 1)),
            padding=(self.padding, (0, 0)), dilation=(self.dilation, (1, 1)), groups=(self.groups, 1),
            bias=(self.bias is not None, True),
        )  # fmt: skip
        return f"{sizes}, {self.describe()}"
