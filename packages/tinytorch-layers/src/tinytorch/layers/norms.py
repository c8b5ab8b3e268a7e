"""Layers that bring each vector to a common scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch.tensor import Primitive, Tensor, ones, zeros

from . import functional as F
from .checks import non_negative, positive
from .lowering import Lowered, lowers
from .module import Module
from .parameter import DType, Parameter

Features = int | tuple[int, ...] | list[int]


class _Norm(Module):
    """Normalizes over the last axis, or over as many last axes as `features` has sizes."""

    def __init__(self, features: Features, eps: float, elementwise_affine: bool, dtype: DType) -> None:
        name = type(self).__name__
        shape = tuple(features) if isinstance(features, tuple | list) else (features,)
        if not shape:
            raise ValueError(f"{name}: features is {features!r}; there must be an axis to normalize over")
        for size in shape:
            positive(name, features=size)
        self.features = shape[0] if len(shape) == 1 else shape
        self.eps = non_negative(name, eps)
        self.weight = Parameter(ones(*shape, dtype=dtype)) if elementwise_affine else None

    def _as_rows(self, x: Any) -> Any:
        """The axes that are normalized together joined into one: (..., *features) -> (..., D)."""
        x = x if isinstance(x, Tensor | np.ndarray) else Tensor(x)
        shape = self.features if isinstance(self.features, tuple) else (self.features,)
        leading = x.ndim - len(shape)
        if leading < 0 or x.shape[leading:] != shape:
            raise ValueError(
                f"{type(self).__name__}: x of shape {x.shape} for features {self.features}; its last axes must be those"
            )
        return x.reshape(*x.shape[:leading], math.prod(shape))

    def _normalize(self, norm: Callable[..., Any], x: Any, *scales: Any) -> Any:
        """What `norm` makes of tensors, or of arrays, with the scales that there are: weight and bias."""
        if self.weight is not None and self.weight.ndim == 1:
            return norm(x, *scales, eps=self.eps)  # which checks the shape
        scales = tuple(None if scale is None else scale.reshape(-1) for scale in scales)
        return norm(self._as_rows(x), *scales, eps=self.eps).reshape(*np.shape(x))

    def _lowered(self, primitive: Primitive, *scales: Parameter | None) -> Lowered:
        if self.weight is not None and self.weight.ndim == 1:
            return primitive.lower(*scales, eps=self.eps)
        norm, present = primitive.lower(), [scale for scale in scales if scale is not None]
        return lambda x: self._normalize(norm, x, *(scale.data for scale in present))

    def extra_repr(self) -> str:
        return (
            f"{self.features}"
            + ("" if self.eps == 1e-5 else f", eps={self.eps:g}")
            + ("" if self.weight is not None else ", elementwise_affine=False")
        )


class LayerNorm(_Norm):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis, of `features` numbers, or the last axes.

    `features` is the size of the last axis, or a tuple of the sizes of as many axes. Weight and bias have that shape;
    without `elementwise_affine` there is neither, without `bias` no bias.

    Source: Ba, Kiros, Hinton 2016, Layer Normalization, eq. 4.

    >>> LayerNorm(2, eps=0.0)(Tensor([[1.0, 3.0]])).data
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self, features: Features, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True, *,
        dtype: DType = None,
    ) -> None:  # fmt: skip
        super().__init__(features, eps, elementwise_affine, dtype)
        self.bias = Parameter(zeros(*self.weight.shape, dtype=dtype)) if bias and self.weight is not None else None

    def forward(self, x: Any) -> Tensor:
        return self._normalize(F.layer_norm, x, self.weight, self.bias)

    @lowers("forward", "_normalize", "_as_rows")
    def lower(self) -> Lowered:
        return self._lowered(F.layer_norm, self.weight, self.bias)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", bias=False" if self.weight is not None and self.bias is None else "")


class RMSNorm(_Norm):
    """x / sqrt(mean(x²) + eps) * weight over the last axis, of `features` numbers, or the last axes.

    `features` is the size of the last axis, or a tuple of the sizes of as many axes. The weight has that shape; without
    `elementwise_affine` there is none.

    Source: Zhang, Sennrich 2019, Root Mean Square Layer Normalization, eq. 4.

    >>> RMSNorm(2, eps=0.0)(Tensor([[3.0, -3.0]])).data
    array([[ 1., -1.]], dtype=float32)
    """

    def __init__(
        self, features: Features, eps: float = 1e-5, elementwise_affine: bool = True, *, dtype: DType = None
    ) -> None:
        super().__init__(features, eps, elementwise_affine, dtype)

    def forward(self, x: Any) -> Tensor:
        return self._normalize(F.rms_norm, x, self.weight)

    @lowers("forward", "_normalize", "_as_rows")
    def lower(self) -> Lowered:
        return self._lowered(F.rms_norm, self.weight)
