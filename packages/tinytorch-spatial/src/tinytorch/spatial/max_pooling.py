"""Max pooling: the largest number under a window.

The taps of the window are gone through one by one. What lies under one tap, at all places of the window, is a view of
the image, so that each step is one operation on whole images.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, array_of, primitive

from .memory import batch_first, batch_last
from .strides import Size, images, pooling


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return -np.inf
    return np.iinfo(dtype).min if dtype.kind in "iu" else False


@primitive(fused=True)
def max_pool2d(
    x: Array, /, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:  # fmt: skip
    """The largest number under each window: (N, C, H, W) -> (N, C, H', W').

    H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1, rounded up with `ceil_mode`; `stride` is `kernel_size`
    unless given. Padding is lower than any number. The gradient goes to the first
    of equal pixels, row by row, never to the padding.

    Raises ValueError for padding of more than half the kernel, and for an image that is smaller than the kernel.

    >>> max_pool2d(Tensor([[[[1.0, 5.0], [3.0, 2.0]]]]), 2)
    Tensor([[[[5.]]]])
    """
    images("max_pool2d", x)
    stencil = pooling("max_pool2d", x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)
    padded = stencil.surround(x, _lowest(x.dtype))
    windows = stencil.windows(padded)  # (C, kh, kw, H', W', N)
    first, *others = stencil.taps
    out = windows[:, *first].copy()
    for tap in others:
        np.maximum(out, windows[:, *tap], out=out)
    return batch_first(out), padded


def _max_backward(
    g: Array, out: Array, padded: Array, needs: tuple[bool, ...], x: Array, **params: Any
) -> tuple[Array]:
    stencil = pooling("max_pool2d", x.shape[2:], **params)
    windows, best, grads = stencil.windows(padded), batch_last(out), batch_last(g)
    dpadded = np.zeros(padded.shape, g.dtype)
    spread = stencil.windows(dpadded)
    inside = stencil.windows(stencil.surround(np.ones((1, 1, *x.shape[2:]), np.bool_)))  # (1, kh, kw, H', W', 1)
    free = np.ones(best.shape, np.bool_)  # the windows whose gradient has not found its place yet
    for tap in stencil.taps:
        here = windows[:, *tap] == best
        here &= free & inside[:, *tap]
        free ^= here
        _add(grads, here, spread[:, *tap], stencil.apart)
    return (batch_first(stencil.inside(dpadded)),)


def _add(grads: Array, factor: Any, to: Array, first: bool) -> None:
    """Add grads * factor; where nothing has been added yet, as between windows that lie apart, write it."""
    if first:
        np.multiply(grads, factor, out=to)
    else:
        to += grads * factor


def _max_by_parts(x: Any, **params: Any) -> Tensor:
    stencil = pooling("max_pool2d", x.shape[2:], **params)
    taps = np.stack(list(stencil.moved(x, -np.inf)), axis=-1)  # (N, C, H', W', kh * kw)
    inside = np.stack(list(stencil.moved(np.ones((1, 1, *x.shape[2:]), np.bool_))), axis=-1)
    first = np.argmax(array_of(taps), axis=-1, keepdims=True)  # of equals; padding only where no pixel is above -inf
    inside = np.broadcast_to(inside, taps.shape)
    first = np.where(np.take_along_axis(inside, first, -1), first, np.argmax(inside, axis=-1, keepdims=True))
    largest: Any = np.take_along_axis(taps, first, axis=-1)
    return largest[..., 0]


defvjp(max_pool2d, fused=_max_backward, composition=_max_by_parts)
