"""ReLU and its leaky form."""

from __future__ import annotations

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, primitive


@primitive
def relu(x: Array, /) -> Array:
    """max(x, 0); the slope at 0 is taken as 0.

    >>> from tinytorch.tensor import Tensor
    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    return np.maximum(x, 0)


defvjp(relu, lambda g, out, x: g * (out > 0))


@primitive
def leaky_relu(x: Array, /, negative_slope: float = 0.01) -> Array:
    """x where it is positive, `negative_slope` times x elsewhere; the slope at 0 is taken as `negative_slope`."""
    return np.where(x > 0, x, x * negative_slope)


defvjp(leaky_relu, lambda g, out, x, negative_slope=0.01: np.where(x > 0, g, g * negative_slope))
