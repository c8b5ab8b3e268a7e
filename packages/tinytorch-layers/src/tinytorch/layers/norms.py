"""Layers that bring each vector to a common scale."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from tinytorch.tensor import Tensor, ones, zeros

from . import functional as F
from .basic import positive
from .module import Module
from .parameter import Parameter


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis, of `features` numbers.

    Source: Ba, Kiros, Hinton 2016, Layer Normalization, eq. 4.

    >>> LayerNorm(2, eps=0.0)(Tensor([[1.0, 3.0]])).data
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self, features: int, eps: float = 1e-5, bias: bool = True, *, dtype: npt.DTypeLike | None = None
    ) -> None:
        positive("LayerNorm", features=features)
        self.features = features
        self.eps = non_negative("LayerNorm", eps)
        self.weight = Parameter(ones(features, dtype=dtype))
        self.bias = Parameter(zeros(features, dtype=dtype)) if bias else None

    def forward(self, x: Any) -> Tensor:
        return F.layer_norm(x, self.weight, self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.features}" + ("" if self.eps == 1e-5 else f", eps={self.eps:g}")


class RMSNorm(Module):
    """x / sqrt(mean(x²) + eps) * weight over the last axis, of `features` numbers.

    Source: Zhang, Sennrich 2019, Root Mean Square Layer Normalization, eq. 4.

    >>> RMSNorm(2, eps=0.0)(Tensor([[3.0, -3.0]])).data
    array([[ 1., -1.]], dtype=float32)
    """

    def __init__(self, features: int, eps: float = 1e-5, *, dtype: npt.DTypeLike | None = None) -> None:
        positive("RMSNorm", features=features)
        self.features = features
        self.eps = non_negative("RMSNorm", eps)
        self.weight = Parameter(ones(features, dtype=dtype))

    def forward(self, x: Any) -> Tensor:
        return F.rms_norm(x, self.weight, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.features}" + ("" if self.eps == 1e-5 else f", eps={self.eps:g}")


def non_negative(name: str, eps: float) -> float:
    """`eps`, unless it is negative or not finite."""
    if not math.isfinite(eps) or eps < 0:
        raise ValueError(f"{name}: eps is {eps}; it must be 0 or a small positive number")
    return eps
