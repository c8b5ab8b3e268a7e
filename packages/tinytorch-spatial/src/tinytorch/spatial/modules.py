"""Layers over images, as modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.layers import Module, Parameter, init
from tinytorch.layers.checks import positive
from tinytorch.tensor import Tensor, zeros

from .average_pooling import adaptive_avg_pool2d, avg_pool2d
from .convolution import around, conv2d
from .describing import describe
from .max_pooling import max_pool2d
from .strides import Size, pair, pool_window


class Conv2d(Module):
    """Slides `out_channels` kernels over images: (N, in_channels, H, W) -> (N, out_channels, H', W').

    `kernel_size`, `stride`, `padding` and `dilation` are an int or (rows, columns); padding may be "same" or "valid".
    weight is (out_channels, in_channels / groups, kh, kw), bias (out_channels,), as in PyTorch; both start evenly drawn
    from ±1/sqrt(in_channels / groups * kh * kw).

    >>> Conv2d(1, 6, 5, padding=2)(zeros(64, 1, 28, 28)).shape
    (64, 6, 28, 28)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1, padding: Size | str = 0,
        dilation: Size = 1, groups: int = 1, bias: bool = True, *, dtype: npt.DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        positive("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: {in_channels} channels in, {out_channels} out, groups={groups}; groups must divide both"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride = pair("Conv2d", "stride", stride)
        self.dilation = pair("Conv2d", "dilation", dilation)
        around("Conv2d", padding, self.kernel_size, self.stride, self.dilation)  # to refuse it here
        self.padding = padding if isinstance(padding, str) else pair("Conv2d", "padding", padding, least=0)
        self.groups = groups
        bound = 1 / math.sqrt(in_channels // groups * math.prod(self.kernel_size))
        self.weight = Parameter(zeros(out_channels, in_channels // groups, *self.kernel_size, dtype=dtype))
        init.uniform(self.weight, -bound, bound, generator=generator)
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(zeros(out_channels, dtype=dtype))
            init.uniform(self.bias, -bound, bound, generator=generator)

    def forward(self, x: Any) -> Tensor:
        return conv2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def extra_repr(self) -> str:
        return describe(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            stride=(self.stride, (1, 1)),
            padding=(self.padding, (0, 0)),
            dilation=(self.dilation, (1, 1)),
            groups=(self.groups, 1),
            bias=(self.bias is not None, True),
        )


class MaxPool2d(Module):
    """The largest number under each window: (N, C, H, W) -> (N, C, H', W'); `stride` is `kernel_size` unless given.

    >>> MaxPool2d(2)(zeros(64, 6, 28, 28)).shape
    (64, 6, 14, 14)
    """

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.dilation, around = pool_window(
            "MaxPool2d", kernel_size, stride, padding, dilation
        )
        self.padding = around[0][0], around[1][0]
        self.ceil_mode = ceil_mode

    def forward(self, x: Any) -> Tensor:
        return max_pool2d(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )

    def extra_repr(self) -> str:
        return describe(
            self.kernel_size,
            stride=(self.stride, self.kernel_size),
            padding=(self.padding, (0, 0)),
            dilation=(self.dilation, (1, 1)),
            ceil_mode=(self.ceil_mode, False),
        )


class AvgPool2d(Module):
    """The mean under each window: (N, C, H, W) -> (N, C, H', W'); `stride` is `kernel_size` unless given.

    >>> AvgPool2d(2)(zeros(64, 6, 28, 28)).shape
    (64, 6, 14, 14)
    """

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: float | None = None,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, _, around = pool_window("AvgPool2d", kernel_size, stride, padding)
        self.padding = around[0][0], around[1][0]
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Any) -> Tensor:
        return avg_pool2d(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor_override=self.divisor_override,
        )

    def extra_repr(self) -> str:
        return describe(
            self.kernel_size,
            stride=(self.stride, self.kernel_size),
            padding=(self.padding, (0, 0)),
            ceil_mode=(self.ceil_mode, False),
            count_include_pad=(self.count_include_pad, True),
            divisor_override=(self.divisor_override, None),
        )


class AdaptiveAvgPool2d(Module):
    """The mean of each cell of a grid of `output_size`, an int or (H', W'): (N, C, H, W) -> (N, C, H', W').

    None in the place of H' or W' keeps as many as there are.

    >>> AdaptiveAvgPool2d(1)(zeros(64, 16, 7, 9)).shape
    (64, 16, 1, 1)
    """

    def __init__(self, output_size: int | Sequence[int | None]) -> None:
        self.output_size = output_size

    def forward(self, x: Any) -> Tensor:
        return adaptive_avg_pool2d(x, output_size=self.output_size)

    def extra_repr(self) -> str:
        return f"{self.output_size}"
