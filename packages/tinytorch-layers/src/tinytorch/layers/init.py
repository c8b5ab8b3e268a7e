"""Starting values: each function writes into a parameter (or tensor) in place and returns it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar

import numpy as np

from tinytorch.tensor import Array, Tensor, generator_for

from . import state

__all__ = [
    "calculate_gain", "constant", "fans", "kaiming_normal", "kaiming_uniform", "normal", "ones", "orthogonal",
    "trunc_normal", "undrawn", "uniform", "xavier_normal", "xavier_uniform", "zeros",
]  # fmt: skip

T = TypeVar("T", bound=Tensor)
Generator = np.random.Generator | None

_drawing = ContextVar("drawing", default=True)


@contextmanager
def undrawn() -> Iterator[None]:
    """Within it nothing is drawn: models whose weights are loaded next are made faster, and without touching memory.

    >>> from tinytorch.layers import Linear
    >>> with undrawn():
    ...     Linear(2, 1, bias=False).weight.data.tolist()
    [[0.0], [0.0]]
    """
    before = _drawing.set(False)
    try:
        yield
    finally:
        _drawing.reset(before)


def _write(tensor: T, values: Array | float) -> T:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"initializer: got a {type(tensor).__name__}; it must be a Tensor or Parameter to write into")
    if not np.can_cast(np.asarray(values).dtype, tensor.dtype, "same_kind"):
        raise TypeError(f"initializer: dtype {tensor.dtype} cannot hold these values; it must be floating point")
    state.write(tensor, values)
    return tensor


def zeros(tensor: T) -> T:
    """All 0."""
    return _write(tensor, 0)


def ones(tensor: T) -> T:
    """All 1."""
    return _write(tensor, 1)


def constant(tensor: T, value: float) -> T:
    """All `value`."""
    return _write(tensor, value)


def uniform(tensor: T, low: float = 0.0, high: float = 1.0, generator: Generator = None) -> T:
    """Drawn uniformly from low to high."""
    if not _drawing.get():
        return tensor
    return _write(tensor, generator_for("initializer", generator).uniform(low, high, tensor.shape))


def normal(tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator = None) -> T:
    """Drawn from the normal distribution."""
    if not _drawing.get():
        return tensor
    return _write(tensor, generator_for("initializer", generator).normal(mean, std, tensor.shape))


def trunc_normal(
    tensor: T, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0, generator: Generator = None
) -> T:
    """Drawn from the part of the normal distribution that lies between low and high.

    Raises ValueError when less than a hundredth of it does, because numbers outside are drawn again.

    >>> bool((abs(trunc_normal(Tensor(np.zeros(100)))) <= 2).all())
    True
    """
    if not std > 0:
        raise ValueError(f"trunc_normal: std is {std}; it must be positive")
    share = (math.erf((high - mean) / (std * math.sqrt(2))) - math.erf((low - mean) / (std * math.sqrt(2)))) / 2
    if not share >= 0.01:
        raise ValueError(
            f"trunc_normal: {share:.2%} of the normal distribution with mean {mean} and std {std} lies between "
            f"{low} and {high}; choose wider bounds, or uniform"
        )
    rng = generator_for("initializer", generator)
    values = rng.normal(mean, std, tensor.size)
    while (outside := np.flatnonzero((values < low) | (values > high))).size:
        values[outside] = rng.normal(mean, std, outside.size)
    return _write(tensor, values.reshape(tensor.shape))


def xavier_uniform(tensor: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Drawn uniformly, with variance gain² · 2 / (fan_in + fan_out).

    Source: Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, eq. 16.

    >>> weight = xavier_uniform(Tensor(np.zeros((4, 2))))
    >>> bool((abs(weight) <= 1).all())  # with sqrt(6 / (4 + 2)) = 1
    True
    """
    bound = gain * math.sqrt(6 / max(sum(fans(tensor)), 1))
    return uniform(tensor, -bound, bound, generator)


def xavier_normal(tensor: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Drawn from the normal distribution, with variance gain² · 2 / (fan_in + fan_out)."""
    return normal(tensor, 0.0, gain * math.sqrt(2 / max(sum(fans(tensor)), 1)), generator)


Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu"]
Mode = Literal["fan_in", "fan_out"]


def kaiming_uniform(
    tensor: T, a: float = 0.0, mode: Mode = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu", generator: Generator = None,
) -> T:  # fmt: skip
    """Drawn uniformly, with variance gain² / fan_in (or fan_out); `a` is the negative slope of a leaky ReLU.

    Source: He et al. 2015, Delving Deep into Rectifiers, eq. 14.

    >>> weight = kaiming_uniform(Tensor(np.zeros((6, 4))), nonlinearity="relu")
    >>> bool((abs(weight) <= 1).all())  # with sqrt(3) * sqrt(2) / sqrt(6) = 1
    True
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform(tensor, -bound, bound, generator)


def kaiming_normal(
    tensor: T, a: float = 0.0, mode: Mode = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu", generator: Generator = None,
) -> T:  # fmt: skip
    """Drawn from the normal distribution, with variance gain² / fan_in (or fan_out)."""
    return normal(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal(tensor: T, gain: float = 1.0, generator: Generator = None) -> T:
    """A matrix whose rows (or columns, if there are fewer) are orthogonal and of length `gain`; later axes are joined.

    Source: Saxe, McClelland, Ganguli 2013, Exact solutions to the nonlinear dynamics of learning.

    >>> weight = orthogonal(Tensor(np.zeros((2, 4)), "float64"))
    >>> np.allclose((weight @ weight.T).data, np.eye(2))
    True
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal: shape {tensor.shape}; only matrices, or more axes, have orthogonal rows")
    rows, columns = tensor.shape[0], tensor.size // max(tensor.shape[0], 1)
    drawn = generator_for("initializer", generator).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q *= np.sign(np.diag(r))  # makes the draw uniform over all orthogonal matrices
    return _write(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def calculate_gain(nonlinearity: Nonlinearity, a: float = 0.01) -> float:
    """By how much weights must be larger so that values keep their size through a nonlinearity, as in PyTorch.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    leaky = math.sqrt(2 / (1 + a * a))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": leaky}
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: {nonlinearity!r}; known are {', '.join(gains)}")
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs each output sees, and how many outputs each input reaches.

    A matrix is (in_features, out_features), as in `Linear`; more axes are (out, in, *kernel), as in convolutions.

    >>> fans(Tensor(np.zeros((3, 5)))), fans(Tensor(np.zeros((8, 2, 3, 3))))
    ((3, 5), (18, 72))
    """
    if tensor.ndim < 2:
        raise ValueError(f"initializer: shape {tensor.shape} has no inputs and outputs; it must have two axes or more")
    if tensor.ndim == 2:
        return tensor.shape[0], tensor.shape[1]
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _kaiming_std(tensor: Tensor, a: float, mode: Mode, nonlinearity: Nonlinearity) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode is {mode!r}; it must be 'fan_in' or 'fan_out'")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))
