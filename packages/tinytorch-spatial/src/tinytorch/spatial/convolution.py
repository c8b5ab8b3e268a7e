"""Convolution: every output pixel is a weighted sum of the pixels around its place in the input.

The windows of a block of output rows are copied out as the columns of one matrix, and a single product with the kernels
does all the arithmetic. What is kept for the backward pass is the padded input; copying the windows out again costs
less than keeping them, which would take as many times the memory as the kernel has taps.

Source: LeCun et al. 1998, Gradient-based learning applied to document recognition; as a matrix product: Chellapilla,
Puri, Simard 2006, High performance convolutional neural networks for document processing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .memory import batch_first, batch_last, float_dtype, tiles
from .strides import Pair, Size, Stencil, images, pair


def around(name: str, padding: Size | str, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Padding in rows and columns ((above, below), (left, right)); "same" keeps the size, one more below and right."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"{name}: padding is 'same' with stride {stride}; only stride 1 keeps the size")
        rows, columns = (step * (taps - 1) for taps, step in zip(kernel, dilation, strict=True))
        return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    if isinstance(padding, str):
        raise ValueError(f"{name}: padding is {padding!r}; it must be an int, a pair, 'same' or 'valid'")
    rows, columns = pair(name, "padding", padding, least=0)
    return (rows, rows), (columns, columns)


def stencil_for(weight: Any, stride: Size, padding: Size | str, dilation: Size) -> Stencil:
    """What the kernels of `weight` (O, C/groups, kh, kw) are as a stencil."""
    kernel = weight.shape[2], weight.shape[3]
    steps, spread = pair("conv2d", "stride", stride), pair("conv2d", "dilation", dilation)
    return Stencil(kernel, steps, spread, around("conv2d", padding, kernel, steps, spread))


def check_convolution(x: Array, weight: Array, bias: Array | None, groups: int) -> None:
    """Raise what `conv2d` raises for shapes that do not fit each other."""
    images("conv2d", x)
    if np.ndim(weight) != 4 or 0 in weight.shape:
        raise ValueError(
            f"conv2d: weight of shape {np.shape(weight)}; "
            "it must be (out_channels, in_channels / groups, rows, columns)"
        )
    outputs, channels = weight.shape[0], x.shape[1]
    if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 1 or outputs % groups:
        raise ValueError(f"conv2d: groups is {groups!r} for {outputs} output channels; it must be an int dividing them")
    if weight.shape[1] * groups != channels:
        raise ValueError(
            f"conv2d: x of shape {x.shape} has {channels} channels, weight {weight.shape} with groups={groups} takes "
            f"{weight.shape[1] * groups}; they must agree"
        )
    if bias is not None and np.shape(bias) != (outputs,):
        raise ValueError(
            f"conv2d: bias of shape {np.shape(bias)} for {outputs} output channels; it must be ({outputs},)"
        )


def _columns(windows: Array, tile: tuple[slice, slice], groups: int) -> Array:
    """The windows of a tile as columns, copied unless the kernel is one pixel: (G, C/G * kh * kw, pixels * N)."""
    C, kh, kw = windows.shape[:3]
    chosen = windows[:, :, :, *tile]
    return chosen.reshape(groups, C // groups * kh * kw, -1)


def _rows(images: Array, tile: tuple[slice, slice], groups: int) -> Array:
    """The pixels of a tile as rows, a view: whole rows of the image, or part of one. (G, O/G, pixels * N)"""
    chosen = images[:, *tile]
    return chosen.reshape(groups, len(images) // groups, -1)


@primitive(fused=True, upcast=True)
def conv2d(
    x: Array, weight: Array, bias: Array | None = None, /, stride: Size = 1, padding: Size | str = 0,
    dilation: Size = 1, groups: int = 1,
) -> tuple[Array, Array]:  # fmt: skip
    """Slide kernels over images: (N, C, H, W), (O, C/groups, kh, kw), (O,) -> (N, O, H', W').

    H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1, and W' likewise. `stride`, `padding` and `dilation` are
    an int or (rows, columns); padding "valid" is none, "same" as much as keeps the size. With `groups` the channels are
    split, and each group of outputs sees one group of inputs. Like everywhere in the field, the kernel is not flipped:
    mathematically this is a correlation.

    Raises ValueError for shapes that do not fit, and for an image that is smaller than the kernel.

    >>> conv2d(Tensor([[[[1.0, 2.0, 4.0]]]]), Tensor([[[[-1.0, 1.0]]]]))
    Tensor([[[[1., 2.]]]])
    """
    check_convolution(x, weight, bias, groups)
    stencil = stencil_for(weight, stride, padding, dilation)
    stencil.check("conv2d", x.shape[2:])
    dtype = float_dtype(x, weight, bias)
    padded = stencil.surround(x, dtype=dtype)
    windows = stencil.windows(padded)  # (C, kh, kw, H', W', N)
    C, kh, kw, rows, columns, N = windows.shape
    kernels = weight.reshape(groups, len(weight) // groups, -1)  # (O, C/G, kh, kw) -> (G, O/G, C/G * kh * kw)
    out = np.empty((len(weight), rows, columns, N), dtype)
    for tile in tiles(rows, columns, C * kh * kw * N):
        np.matmul(kernels, _columns(windows, tile, groups), out=_rows(out, tile, groups))
    if bias is not None:
        out += bias[:, None, None, None]
    return batch_first(out), padded


def _backward(
    g: Array, out: Array, padded: Array, needs: tuple[bool, ...], x: Array, weight: Array, bias: Array | None,
    stride: Size = 1, padding: Size | str = 0, dilation: Size = 1, groups: int = 1,
) -> tuple[Array | None, ...]:  # fmt: skip
    """Kernels: gradients times windows. Input: each gradient spread over its window, weighted by the kernel."""
    stencil = stencil_for(weight, stride, padding, dilation)
    windows = stencil.windows(padded)
    C, kh, kw, rows, columns, N = windows.shape
    kernels = weight.reshape(groups, len(weight) // groups, -1)
    grads = batch_last(g)  # (O, H', W', N)
    dkernels = np.zeros(kernels.shape, g.dtype)
    dpadded = np.zeros(padded.shape if needs[0] else (), g.dtype)
    spread = stencil.windows(dpadded) if needs[0] else dpadded
    for tile in tiles(rows, columns, C * kh * kw * N):
        slopes = _rows(grads, tile, groups)
        if needs[1]:
            dkernels += np.matmul(slopes, _columns(windows, tile, groups).mT)
        if needs[0]:
            shares = np.matmul(kernels.mT, slopes).reshape(spread[:, :, :, *tile].shape)
            for tap in stencil.taps:
                spread[:, *tap, *tile] += shares[:, *tap]
    return (
        batch_first(stencil.inside(dpadded)) if needs[0] else None,
        dkernels.reshape(weight.shape) if needs[1] else None,
        grads.reshape(len(weight), -1).sum(axis=1) if needs[2] else None,
    )


def _by_parts(
    x: Any, weight: Any, bias: Any = None, stride: Size = 1, padding: Size | str = 0, dilation: Size = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """A sum over the taps of the kernel: at each, the image is moved, and its channels are mixed by a matrix."""
    stencil = stencil_for(weight, stride, padding, dilation)
    kernels = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], *stencil.kernel)
    total: Any = 0.0
    for (i, j), moved in zip(stencil.taps, stencil.moved(x), strict=True):  # (N, C, H', W')
        grouped = moved.reshape(moved.shape[0], groups, weight.shape[1], *moved.shape[2:])
        total = total + np.einsum("goc,ngchw->ngohw", kernels[..., i, j], grouped)
    out = total.reshape(total.shape[0], weight.shape[0], *total.shape[3:])  # (N, G, O/G, H', W') -> (N, O, H', W')
    return out if bias is None else out + bias.reshape(-1, 1, 1)


defvjp(conv2d, fused=_backward, composition=_by_parts)
