"""Average pooling: the mean under a window of fixed size, or under one window per pixel of the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .memory import batch_first, batch_last, float_dtype
from .strides import Pair, Size, Stencil, images, pair, pooling


@primitive(fused=True, upcast=True)
def avg_pool2d(
    x: Array, /, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: float | None = None,
) -> tuple[Array, None]:  # fmt: skip
    """The mean under each window: (N, C, H, W) -> (N, C, H', W').

    H' = (H + 2 padding - kh) // stride + 1, rounded up with `ceil_mode`; `stride` is `kernel_size` unless given. The
    sum is divided by the pixels under the window, padding among them if `count_include_pad`, or by `divisor_override`.

    Raises ValueError for padding of more than half the kernel, and for an image that is smaller than the kernel.

    >>> avg_pool2d(Tensor([[[[1.0, 5.0], [3.0, 3.0]]]]), 2)
    Tensor([[[[3.]]]])
    """
    images("avg_pool2d", x)
    stencil = pooling("avg_pool2d", x.shape[2:], kernel_size, stride, padding, ceil_mode=ceil_mode)
    windows = stencil.windows(stencil.surround(x, dtype=float_dtype(x)))
    out = np.zeros(windows.shape[:1] + windows.shape[3:], windows.dtype)
    for tap in stencil.taps:
        out += windows[:, *tap]
    out /= _divisor(stencil, x.shape[2:], padding, count_include_pad, divisor_override).astype(out.dtype)[..., None]
    return batch_first(out), None


def _divisor(
    stencil: Stencil, size: Sequence[int], padding: Size, count_include_pad: bool, divisor_override: float | None
) -> Array:
    """What the sum of each window is divided by: (H', W'), or (1, 1)."""
    if divisor_override is not None:
        if not divisor_override:
            raise ValueError("avg_pool2d: divisor_override is 0; it must be another number, or None")
        return np.full((1, 1), divisor_override, np.float64)
    margins = pair("avg_pool2d", "padding", padding, least=0)
    counts = []
    for n, span, step, margin, around in zip(
        size, stencil.kernel, stencil.stride, margins, stencil.padding, strict=True
    ):
        first = np.arange(0, n + sum(around) - span + 1, step) - margin  # the window's first pixel, 0 being the image's
        outside = margin if count_include_pad else 0
        counts.append(np.minimum(first + span, n + outside) - np.maximum(first, -outside))
    return np.multiply.outer(*counts)


def _avg_backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Array, kernel_size: Size,
    stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: float | None = None,
) -> tuple[Array]:  # fmt: skip
    stencil = pooling("avg_pool2d", x.shape[2:], kernel_size, stride, padding, ceil_mode=ceil_mode)
    divisor = _divisor(stencil, x.shape[2:], padding, count_include_pad, divisor_override)
    shares = batch_last(g) / divisor.astype(g.dtype)[..., None]
    N, C, H, W = x.shape
    (above, below), (left, right) = stencil.padding
    dpadded = np.zeros((C, H + above + below, W + left + right, N), g.dtype)
    spread = stencil.windows(dpadded)
    for tap in stencil.taps:
        spread[:, *tap] += shares
    return (batch_first(stencil.inside(dpadded)),)


def _avg_by_parts(
    x: Any, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: float | None = None,
) -> Tensor:  # fmt: skip
    stencil = pooling("avg_pool2d", x.shape[2:], kernel_size, stride, padding, ceil_mode=ceil_mode)
    total: Any = np.sum(np.stack(list(stencil.moved(x))), axis=0)
    divisor = _divisor(stencil, x.shape[2:], padding, count_include_pad, divisor_override)
    return total / Tensor(divisor, total.dtype)


defvjp(avg_pool2d, fused=_avg_backward, composition=_avg_by_parts)


def cells(n: int, parts: int) -> list[slice]:
    """`parts` stretches of about the same length that together cover n pixels; neighbors may share one.

    >>> cells(5, 2)
    [slice(0, 3, None), slice(2, 5, None)]
    """
    return [slice(i * n // parts, -(-(i + 1) * n // parts)) for i in range(parts)]


def output_pair(size: Sequence[int], output_size: int | Sequence[int | None]) -> Pair:
    """(rows, columns), with None for as many as there are."""
    given: Any = output_size if isinstance(output_size, list | tuple) else (output_size, output_size)
    wanted = [n if each is None else each for n, each in zip(size, given, strict=False)] if len(given) == 2 else given
    return pair("adaptive_avg_pool2d", "output_size", wanted)


@primitive(fused=True, upcast=True)
def adaptive_avg_pool2d(x: Array, /, output_size: int | Sequence[int | None]) -> tuple[Array, None]:
    """The mean of each cell of a grid laid over the image: (N, C, H, W) -> (N, C, H', W').

    `output_size` is (H', W'), or one number for both; None keeps as many as there are. Cell i of H' has the rows from
    floor(i H / H') to ceil((i + 1) H / H').

    >>> adaptive_avg_pool2d(Tensor([[[[1.0, 5.0], [3.0, 3.0]]]]), 1)
    Tensor([[[[3.]]]])
    """
    images("adaptive_avg_pool2d", x)
    if 0 in x.shape[2:]:
        raise ValueError(f"adaptive_avg_pool2d: x of shape {x.shape} has no pixels; a mean needs at least one")
    rows, columns = output_pair(x.shape[2:], output_size)
    wide = batch_last(x, float_dtype(x))  # (C, H, W, N)
    narrow = np.empty((wide.shape[0], rows, *wide.shape[2:]), wide.dtype)
    for i, cell in enumerate(cells(wide.shape[1], rows)):
        np.mean(wide[:, cell], axis=1, out=narrow[:, i])
    out = np.empty((*narrow.shape[:2], columns, narrow.shape[3]), wide.dtype)
    for j, cell in enumerate(cells(wide.shape[2], columns)):
        np.mean(narrow[:, :, cell], axis=2, out=out[:, :, j])
    return batch_first(out), None


def _adaptive_backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Array, output_size: int | Sequence[int | None]
) -> tuple[Array]:
    N, C, H, W = x.shape
    rows, columns = out.shape[2:]
    grads = batch_last(g)
    narrow = np.zeros((C, rows, W, N), g.dtype)
    for j, cell in enumerate(cells(W, columns)):
        narrow[:, :, cell] += grads[:, :, j, None] / (cell.stop - cell.start)
    dx = np.zeros((C, H, W, N), g.dtype)
    for i, cell in enumerate(cells(H, rows)):
        dx[:, cell] += narrow[:, i, None] / (cell.stop - cell.start)
    return (batch_first(dx),)


def _adaptive_by_parts(x: Any, output_size: int | Sequence[int | None]) -> Tensor:
    rows, columns = output_pair(x.shape[2:], output_size)
    means = [
        [np.mean(x[:, :, down, across], axis=(2, 3)) for across in cells(x.shape[3], columns)]
        for down in cells(x.shape[2], rows)
    ]
    grid: Any = np.stack([np.stack(row, axis=-1) for row in means], axis=-2)
    return grid


defvjp(adaptive_avg_pool2d, fused=_adaptive_backward, composition=_adaptive_by_parts)
