"""Dropout: numbers left out at random while training."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, default_generator, primitive

from ..checks import real


def probability(name: str, p: float) -> float:
    """`p`, unless it is no probability below 1."""
    if not 0 <= real(name, "p", p) < 1:
        raise ValueError(f"{name}: p is {p}; it must be a probability from 0 up to, not including, 1")
    return p


def dropout(x: Any, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Tensor:
    """While training, x with numbers set to zero with probability `p` and the others divided by 1 - p; else x itself.

    Source: Srivastava et al. 2014, Dropout, in the "inverted" form that leaves the mean as it was.
    """
    probability("dropout", p)
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise TypeError(f"dropout: x of dtype {x.dtype}; only floating-point numbers can be scaled, use astype")
    if not training or p == 0:
        return x
    drawn = (generator or default_generator()).random(x.shape, dtype=np.float32)
    return keep(x, kept=np.asarray(drawn >= p), scale=1 / (1 - p))


@primitive
def keep(x: Array, /, kept: Array, scale: float) -> Array:
    """x * scale where `kept` is true, 0 elsewhere."""
    out = x * kept
    out *= scale
    return out


defvjp(keep, lambda g, out, x, kept, scale: keep.lift(g, kept=kept, scale=scale))
