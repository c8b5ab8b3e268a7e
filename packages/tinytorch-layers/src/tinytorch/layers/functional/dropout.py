"""Dropout: numbers left out at random while training."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, generator_for, primitive

from ..checks import probability


def dropout(x: Any, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Tensor:
    """While training, x with numbers set to zero with probability `p` and the others divided by 1 - p; else x itself.

    Raises ValueError for a `p` outside 0 to 1, TypeError for an x that is not floating point.
    Source: Srivastava et al. 2014, Dropout, in the "inverted" form, which leaves the mean as it was.

    >>> dropout(Tensor([1.0, 2.0, 3.0, 4.0]), 0.5, generator=np.random.default_rng(0))
    Tensor([2., 4., 6., 0.])
    """
    probability("dropout", p)
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise TypeError(f"dropout: x of dtype {x.dtype}; only floating-point numbers can be scaled, use astype")
    if not training or p == 0:
        return x
    drawn = generator_for("dropout", generator).random(x.shape, dtype=np.float32)
    return keep(x, kept=np.asarray(drawn >= p), scale=1 / (1 - p) if p < 1 else 0.0)


@primitive
def keep(x: Array, /, kept: Array, scale: float) -> Array:
    """x * scale where `kept`, booleans of the shape of x, is true, and 0 elsewhere: the primitive behind `dropout`.

    >>> keep(Tensor([1.0, 2.0]), kept=np.array([True, False]), scale=2.0)
    Tensor([2., 0.])
    """
    out = x * kept
    out *= scale
    return out


defvjp(keep, lambda g, out, x, kept, scale: keep.lift(g, kept=kept, scale=scale))
