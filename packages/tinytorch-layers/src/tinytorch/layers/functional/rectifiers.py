"""ReLU and its leaky form."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp, select
from tinytorch.tensor import Array, primitive


@primitive
def relu(x: Array, /) -> Array:
    """max(x, 0); the slope at 0 is taken as 0, a NaN passes what comes back on.

    >>> from tinytorch.tensor import Tensor
    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    x = np.asarray(x)
    return x.clip(0.0, np.inf) if x.dtype.kind == "f" else np.maximum(x, 0)  # clip is vectorized, maximum(x, 0) is not


defvjp(relu, lambda g, out, x: select(out != 0, g), keep=("out",))


@primitive
def leaky_relu(x: Array, /, negative_slope: float = 0.01) -> Array:
    """x where it is positive, `negative_slope` times x elsewhere; the slope at 0 is taken as `negative_slope`.

    >>> from tinytorch.tensor import Tensor
    >>> leaky_relu(Tensor([-1.0, 2.0]))
    Tensor([-0.01,  2.  ])
    """
    scaled = np.multiply(x, negative_slope)
    return np.maximum(x, scaled) if negative_slope <= 1 else np.minimum(x, scaled)


def _leaky_slope(g: Any, out: Any, x: Any, negative_slope: float = 0.01) -> Any:
    return g * (np.greater(x, 0).astype(g.dtype) * (1 - negative_slope) + negative_slope)


defvjp(leaky_relu, _leaky_slope)
