"""GPTQ: weights are rounded one column after the other, and those that follow make up for each error.

The error that counts is that of the layer's outputs on examples, |X (W - Q)^T|^2, which has the Hessian H = X^T X for
each row of weights.

Source: Frantar et al. 2022, GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers
(arXiv:2210.17323), sections 3.2 and 3.3; the order by activation is that of its published code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import Module
from tinytorch.spatial import Conv2d
from tinytorch.spatial.convolution import around
from tinytorch.spatial.strides import Stencil
from tinytorch.tensor import Array, array_of

from .codes import Codes
from .errors import QuantizationError
from .scheme import Scheme, scale_dtype

BLOCK = 128
"""Columns after which the errors are passed on to all that follow, in one product."""


def gptq(
    rows: Array, hessian: Array, scheme: Scheme, *, act_order: bool = False, damping: float = 0.01,
    owner: str = "quantize",
) -> Codes:  # fmt: skip
    """Codes of `rows` (m, n) for inputs with the Hessian X^T X, (n, n), of any scale.

    Scales are fit when a group is reached, to what its weights have become by then. With `act_order` the columns of the
    largest inputs come first, and scales are those of the weights as they were. `damping`, times the mean of the
    diagonal, is added to it. Raises QuantizationError where the Hessian is not finite.

    >>> weights, x = np.array([[0.45, 0.45, 0.45, 1.0]]), np.ones((5, 4))  # inputs that are always equal: errors cancel
    >>> codes = gptq(weights, x.T @ x, Scheme(bits=3))
    >>> from tinytorch.quantization import dequantize_rows
    >>> dequantize_rows(*codes).round(2).tolist()  # the nearest ones are 0.33, 0.33, 0.33 and 1.0
    [[0.33, 0.33, 0.67, 1.0]]
    """
    m, n = rows.shape
    groups = scheme.groups(n, owner)
    size, dtype = n // groups, scale_dtype(rows.dtype)
    W = rows.astype(np.float64)
    scale, zero = scheme.fit(W.reshape(m, groups, size), dtype, owner)  # (m, groups)
    order = np.argsort(-np.diagonal(hessian), kind="stable") if act_order else np.arange(n)
    U = _factor(hessian[np.ix_(order, order)], damping, owner)  # (n, n), upper: H^-1 = U^T U
    W = W[:, order]
    levels = np.empty((m, n), np.int8)
    step = size * max(1, BLOCK // size) if not act_order else BLOCK  # whole groups
    for start in range(0, n, step):
        end = min(start + step, n)
        errors = np.empty((m, end - start))
        for i in range(start, end):
            column = order[i]
            group = column // size
            if not act_order and column % size == 0:
                scale[:, group], zero[:, group] = scheme.fit(W[:, i : i + size], dtype, owner)
            s, z = scale[:, group], zero[:, group]
            levels[:, column] = scheme.levels(W[:, i, None], s, z)[:, 0]
            errors[:, i - start] = (W[:, i] - s * (levels[:, column] - z.astype(np.float64))) / U[i, i]
            W[:, i:end] -= errors[:, i - start, None] * U[i, i:end]
        W[:, end:] -= errors @ U[start:end, end:]
    codes = scheme.empty(m, n, rows.dtype, owner)
    scheme.store(codes, slice(m), levels, scale, zero)
    return codes


def _factor(hessian: Array, damping: float, owner: str) -> Array:
    """The upper Cholesky factor of the inverse, with the diagonal raised; inputs that are always 0 count as others."""
    if not np.isfinite(hessian).all():
        raise QuantizationError(f"{owner}: infinity or NaN among the inputs; look for what made it")
    H = hessian.astype(np.float64)
    diagonal = np.diagonal(H).copy()
    mean = diagonal.mean() or 1.0
    diagonal[diagonal == 0] = mean
    np.fill_diagonal(H, diagonal + damping * mean)
    try:
        return np.linalg.cholesky(np.linalg.inv(H)).T
    except np.linalg.LinAlgError:
        raise QuantizationError(
            f"{owner}: the Hessian has no inverse; give more examples or a larger damping"
        ) from None


class Hessian:
    """X^T X of all inputs that a layer sees: (groups, n, n), where only convolutions have several groups."""

    def __init__(self, layer: Module) -> None:
        self.layer = layer
        self.total: Any = 0.0

    def observe(self, x: Any) -> None:
        """Add the inputs of one call."""
        X = columns(self.layer, array_of(x)).astype(np.float64)  # (G, samples, n)
        self.total = self.total + np.matmul(X.mT, X)

    def quantize(self, rows: Array, scheme: Scheme, owner: str, **options: Any) -> Codes:
        """The codes of the layer's rows, each group of rows for the inputs of its own."""
        parts = np.split(rows, len(self.total))
        found = [gptq(part, H, scheme, owner=owner, **options) for part, H in zip(parts, self.total, strict=True)]
        merged: Any = [None if each[0] is None else np.concatenate(each) for each in zip(*found, strict=True)]
        return Codes(*merged)


def columns(layer: Any, x: Array) -> Array:
    """What each row of weights is multiplied with: (groups, samples, n)."""
    if not isinstance(layer, Conv2d):
        return x.reshape(1, -1, x.shape[-1])
    padding = around("conv2d", layer.padding, layer.kernel_size, layer.stride, layer.dilation)
    stencil = Stencil(layer.kernel_size, layer.stride, layer.dilation, padding)
    windows = stencil.windows(stencil.surround(x))  # (C, kh, kw, H', W', N)
    C, kh, kw = windows.shape[:3]
    return windows.reshape(layer.groups, C // layer.groups * kh * kw, -1).mT
