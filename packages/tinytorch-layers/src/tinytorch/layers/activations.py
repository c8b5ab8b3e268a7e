"""Functions between the layers, as modules."""

from __future__ import annotations

from typing import Any, ClassVar

from tinytorch.tensor import Primitive, Tensor, tanh

from . import functional as F
from .functional.gelu import check_approximation
from .lowering import Lowered, lowers
from .module import Module


class _Activation(Module):
    """A primitive as a module. `options` are its parameters, kept as attributes, with their defaults."""

    primitive: ClassVar[Primitive]
    options: ClassVar[dict[str, Any]] = {}

    def forward(self, x: Any) -> Tensor:
        return self.primitive(x, **self._options())

    @lowers("forward", "_options")
    def lower(self) -> Lowered:
        return self.primitive.lower(**self._options())

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.options}

    def extra_repr(self) -> str:
        given = {name: value for name, value in self._options().items() if value != self.options[name]}
        return ", ".join(f"{name}={value!r}" for name, value in given.items())


class ReLU(_Activation):
    """max(x, 0)"""

    primitive = F.relu


class LeakyReLU(_Activation):
    """x where it is positive, `negative_slope` times x elsewhere.

    >>> LeakyReLU(0.1)(Tensor([-1.0, 2.0]))
    Tensor([-0.1,  2. ])
    """

    primitive = F.leaky_relu
    options: ClassVar = {"negative_slope": 0.01}

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope


class GELU(_Activation):
    """x times the probability that a normal variable is below x; `approximate` is "none" (exact) or "tanh".

    Source: Hendrycks, Gimpel 2016, Gaussian Error Linear Units.

    >>> GELU("none")(Tensor([0.0, 1.0]))
    Tensor([0.    , 0.8413])
    """

    primitive = F.gelu
    options: ClassVar = {"approximate": "tanh"}

    def __init__(self, approximate: str = "tanh") -> None:
        self.approximate = check_approximation(approximate)


class SiLU(_Activation):
    """x * sigmoid(x)"""

    primitive = F.silu


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))"""

    primitive = F.sigmoid


class Tanh(_Activation):
    """The hyperbolic tangent."""

    primitive = tanh


class Softmax(_Activation):
    """exp(x) / sum(exp(x)) along `axis`: positive numbers that add up to 1.

    >>> Softmax()(Tensor([[0.0, 0.0]]))
    Tensor([[0.5, 0.5]])
    """

    primitive = F.softmax
    options: ClassVar = {"axis": -1}

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis


class LogSoftmax(Softmax):
    """The logarithm of the softmax along `axis`."""

    primitive = F.log_softmax
