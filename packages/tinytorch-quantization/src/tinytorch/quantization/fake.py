"""Rounding that training sees and that gradients pass through."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, array_of, primitive

from .scheme import Scheme, scale_dtype


@primitive(upcast=True)
def fake_quantize(
    x: Array, scale: Array, zero_point: Array | None = None, /, low: int = -128, high: int = 127
) -> Array:
    """The number that the nearest code of x stands for: scale * (clip(round(x / scale) + z, low, high) - z).

    `scale` and `zero_point` broadcast with x. The gradient is straight-through: that of the identity where a code is
    between `low` and `high`, and 0 beyond.

    Source: the straight-through estimator: Bengio et al. 2013, Estimating or Propagating Gradients Through Stochastic
    Neurons (arXiv:1308.3432); for quantization: Jacob et al. 2018, section 3.

    >>> fake_quantize(Tensor([0.12, -0.26, 99.0]), 0.1, low=-7, high=7)
    Tensor([ 0.1, -0.3,  0.7])
    """
    zero = 0 if zero_point is None else zero_point
    return ((np.rint(x / scale) + zero).clip(low, high) - zero) * scale


def _through(g: Any, out: Any, x: Any, scale: Any, zero_point: Any = None, low: int = -128, high: int = 127) -> Any:
    codes = np.rint(array_of(x) / array_of(scale)) + (0 if zero_point is None else array_of(zero_point))
    return g * ((codes >= low) & (codes <= high)).astype(g.dtype)


defvjp(fake_quantize, _through, None, None, keep=("inputs",))


def fake_rows(rows: Tensor, scheme: Scheme) -> Tensor:
    """Rows of weights (m, n) as `scheme.quantize` would round them."""
    m, n = rows.shape
    groups = scheme.groups(n)
    grouped = rows.reshape(m, groups, n // groups)
    scale, zero = (each[..., None] for each in scheme.fit(grouped.data, scale_dtype(rows.dtype)))  # (m, groups, 1)
    low, high = scheme.bounds
    return fake_quantize(grouped, scale, zero, low=low, high=high).reshape(m, n)
