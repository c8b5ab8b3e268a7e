"""Functions between the layers, as modules."""

from __future__ import annotations

from typing import Any

from tinytorch.tensor import Tensor, tanh

from . import functional as F
from .functional.gelu import check_approximation
from .lowering import Lowered, lowers
from .module import Module


class ReLU(Module):
    """max(x, 0)"""

    def forward(self, x: Any) -> Tensor:
        return F.relu(x)

    @lowers("forward")
    def lower(self) -> Lowered:
        return F.relu.lower()


class LeakyReLU(Module):
    """x where it is positive, `negative_slope` times x elsewhere.

    >>> LeakyReLU(0.1)(Tensor([-1.0, 2.0]))
    Tensor([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Tensor:
        return F.leaky_relu(x, negative_slope=self.negative_slope)

    @lowers("forward")
    def lower(self) -> Lowered:
        leaky_relu, negative_slope = F.leaky_relu.lower(), self.negative_slope
        return lambda x: leaky_relu(x, negative_slope=negative_slope)

    def extra_repr(self) -> str:
        return f"{self.negative_slope}"


class GELU(Module):
    """x times the probability that a normal variable is below x; `approximate` is "none" (exact) or "tanh".

    Source: Hendrycks, Gimpel 2016, Gaussian Error Linear Units.

    >>> GELU("none")(Tensor([0.0, 1.0]))
    Tensor([0.    , 0.8413])
    """

    def __init__(self, approximate: str = "tanh") -> None:
        self.approximate = check_approximation(approximate)

    def forward(self, x: Any) -> Tensor:
        return F.gelu(x, approximate=self.approximate)

    @lowers("forward")
    def lower(self) -> Lowered:
        gelu, approximate = F.gelu.lower(), self.approximate
        return lambda x: gelu(x, approximate=approximate)

    def extra_repr(self) -> str:
        return f"{self.approximate!r}"


class SiLU(Module):
    """x * sigmoid(x)"""

    def forward(self, x: Any) -> Tensor:
        return F.silu(x)

    @lowers("forward")
    def lower(self) -> Lowered:
        return F.silu.lower()


class Sigmoid(Module):
    """1 / (1 + exp(-x))"""

    def forward(self, x: Any) -> Tensor:
        return F.sigmoid(x)

    @lowers("forward")
    def lower(self) -> Lowered:
        return F.sigmoid.lower()


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Tensor:
        return tanh(x)

    @lowers("forward")
    def lower(self) -> Lowered:
        return tanh.lower()


class Softmax(Module):
    """exp(x) / sum(exp(x)) along `axis`: positive numbers that add up to 1.

    >>> Softmax()(Tensor([[0.0, 0.0]]))
    Tensor([[0.5, 0.5]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Tensor:
        return F.softmax(x, axis=self.axis)

    @lowers("forward")
    def lower(self) -> Lowered:
        softmax, axis = F.softmax.lower(), self.axis
        return lambda x: softmax(x, axis=axis)

    def extra_repr(self) -> str:
        return "" if self.axis == -1 else f"axis={self.axis}"


class LogSoftmax(Module):
    """The logarithm of the softmax along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Tensor:
        return F.log_softmax(x, axis=self.axis)

    @lowers("forward")
    def lower(self) -> Lowered:
        log_softmax, axis = F.log_softmax.lower(), self.axis
        return lambda x: log_softmax(x, axis=axis)

    def extra_repr(self) -> str:
        return "" if self.axis == -1 else f"axis={self.axis}"
