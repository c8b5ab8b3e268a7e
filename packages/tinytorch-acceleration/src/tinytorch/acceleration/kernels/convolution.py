"""Depthwise convolution: each channel has kernels of its own, so there is no matrix product that would be worth it.

Rows of the output are sums of rows of the padded image, each times one number. With the batch last in memory a row of
windows is one run of numbers, as long as the kernel moves by one column.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.spatial.convolution import check_convolution, conv2d, stencil_for
from tinytorch.spatial.memory import batch_first, batch_last
from tinytorch.tensor import Array

from ..compiling import compiled
from ..serving import Unserved, serves, serves_gradient


@compiled(reassociate=True)
def add_scaled(out: Array, x: Array, factor: float) -> None:
    """out += factor x"""
    for i in range(out.size):
        out[i] += factor * x[i]


@compiled(reassociate=True)
def inner(x: Array, y: Array) -> float:
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@compiled
def convolve_channels(
    start: int, stop: int, padded: Array, weight: Array, bias: Array, step: Any, spread: Any, out: Array
) -> None:
    """Output channels from `start` to `stop`: (C, H, W, N), (O, kh, kw), (O,) -> (O, H', W', N)."""
    each = weight.shape[0] // padded.shape[0]  # kernels of a channel
    for o in range(start, stop):
        for r in range(out.shape[1]):
            out[o, r] = bias[o]
            for i in range(weight.shape[1]):
                image = padded[o // each, r * step[0] + i * spread[0]]
                for j in range(weight.shape[2]):
                    if step[1] == 1:
                        first = j * spread[1]
                        run = image[first : first + out.shape[2]].reshape(-1)
                        add_scaled(out[o, r].reshape(-1), run, weight[o, i, j])
                    else:
                        for c in range(out.shape[2]):
                            add_scaled(out[o, r, c], image[c * step[1] + j * spread[1]], weight[o, i, j])


@compiled
def channel_slopes(
    start: int, stop: int, g: Array, padded: Array, weight: Array, step: Any, spread: Any, dpadded: Array,
    dweight: Array,
) -> None:  # fmt: skip
    """Input channels from `start` to `stop`: the gradients of the padded image, and of the kernels on it."""
    each = weight.shape[0] // padded.shape[0]
    for o in range(start * each, stop * each):
        channel = o // each
        for r in range(g.shape[1]):
            for i in range(weight.shape[1]):
                row = r * step[0] + i * spread[0]
                image, slopes = padded[channel, row], dpadded[channel, row]
                for j in range(weight.shape[2]):
                    if step[1] == 1:
                        first = j * spread[1]
                        last = first + g.shape[2]
                        run = g[o, r].reshape(-1)
                        dweight[o, i, j] += inner(run, image[first:last].reshape(-1))
                        add_scaled(slopes[first:last].reshape(-1), run, weight[o, i, j])
                    else:
                        for c in range(g.shape[2]):
                            place = c * step[1] + j * spread[1]
                            dweight[o, i, j] += inner(g[o, r, c], image[place])
                            add_scaled(slopes[place], g[o, r, c], weight[o, i, j])


def _refuse(x: Any, weight: Any, bias: Any, groups: Any) -> Unserved | None:
    for each in (x, weight, *(() if bias is None else (bias,))):
        if type(each) is not np.ndarray or each.dtype != x.dtype or each.dtype not in (np.float32, np.float64):
            return Unserved(f"dtype {getattr(each, 'dtype', type(each).__name__)}")
    if x.ndim != 4 or weight.ndim != 4 or not x.size or not weight.size:
        return Unserved(f"x of shape {x.shape}, weight of shape {weight.shape}")
    if type(groups) is not int or groups != x.shape[1] or groups == 1 or weight.shape[1] != 1:
        return Unserved("channels that are mixed")
    return None


@serves(conv2d)
def depthwise(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Any:
    if (reason := _refuse(x, weight, bias, groups)) is not None:
        return reason
    check_convolution(x, weight, bias, groups)
    stencil = stencil_for(weight, stride, padding, dilation)
    stencil.check("conv2d", x.shape[2:])
    padded = stencil.surround(x, dtype=x.dtype)
    rows, columns, N = stencil.windows(padded).shape[3:]
    out = np.empty((len(weight), rows, columns, N), x.dtype)
    bias = np.zeros(len(weight), x.dtype) if bias is None else np.ascontiguousarray(bias)
    kernels = np.ascontiguousarray(weight[:, 0])  # (O, kh, kw)
    convolve_channels.over(len(weight), 1, padded, kernels, bias, stencil.stride, stencil.dilation, out)
    return batch_first(out), padded


@serves_gradient(conv2d)
def depthwise_backward(
    g: Array, out: Any, padded: Array, needs: Any, x: Any, weight: Any, bias: Any = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1,
) -> Any:  # fmt: skip
    if (reason := _refuse(x, weight, bias, groups)) is not None:
        return reason
    if g.dtype != x.dtype or padded.dtype != x.dtype:
        return Unserved(f"a gradient of dtype {g.dtype}")
    stencil = stencil_for(weight, stride, padding, dilation)
    grads, kernels = batch_last(g), np.ascontiguousarray(weight[:, 0])
    dpadded, dweight = np.zeros(padded.shape, g.dtype), np.zeros(kernels.shape, g.dtype)
    channel_slopes.over(groups, 1, grads, padded, kernels, stencil.stride, stencil.dilation, dpadded, dweight)
    dbias = grads.reshape(len(weight), -1).sum(axis=1) if needs[2] else None
    return batch_first(stencil.inside(dpadded)), dweight[:, None], dbias
