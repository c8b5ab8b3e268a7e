"""What a later stage does with images besides products: pooling and batch norm."""

from __future__ import annotations

import math
from typing import Any

from ..flops import flops_of
from ..shaped import Shaped


def _taps(kernel_size: int | tuple[int, int]) -> int:
    return kernel_size**2 if isinstance(kernel_size, int) else math.prod(kernel_size)


def _max_pool(out: Shaped, x: Shaped, kernel_size: Any, **params: Any) -> int:
    return out.size * (_taps(kernel_size) - 1)


def _max_pool_backward(needs: tuple[bool, ...], out: Shaped, x: Shaped, kernel_size: Any, **params: Any) -> int:
    """At each tap the gradient times 1 or 0."""
    return out.size * _taps(kernel_size)


flops_of("max_pool2d", _max_pool_backward, elementwise=True)(_max_pool)


def _avg_pool(out: Shaped, x: Shaped, kernel_size: Any, **params: Any) -> int:
    """An addition per tap and a division; backward a division, and an addition per tap."""
    return out.size * (_taps(kernel_size) + 1)


flops_of("avg_pool2d", lambda needs, *shapes, **params: _avg_pool(*shapes, **params), elementwise=True)(_avg_pool)


def _adaptive(out: Shaped, x: Shaped, **params: Any) -> int:
    """Rows are averaged, then columns: an addition per number read, a division per number written; backward too."""
    N, C, _, W = x.shape
    between = N * C * out.shape[2] * W
    return x.size + 2 * between + out.size


flops_of("adaptive_avg_pool2d", lambda needs, *shapes, **params: _adaptive(*shapes), elementwise=True)(_adaptive)


def _batch_norm(out: Shaped, x: Shaped, *rest: Any, training: bool = False, **params: Any) -> int:
    """Center, scale, shift; with the statistics of the batch also two sums and a square."""
    return x.size * (6 if training else 3)


def _batch_norm_backward(
    needs: tuple[bool, ...], out: Shaped, x: Shaped, *rest: Any, training: bool = False, **params: Any
) -> int:
    return x.size * (9 if training else 6)


flops_of("batch_norm", _batch_norm_backward, elementwise=True)(_batch_norm)
