"""Products of integers: weights and inputs of 8 bits, sums of 32, scaled once at the end.

A product of two codes of 8 bits is below 2^15, so that float32, which holds every integer up to 2^24, adds up
512 of them without rounding, and float64 any number of them. The fast matrix product of floats is therefore an exact
one of integers, in pieces.

Source: Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp, enable_grad, grad, rules
from tinytorch.spatial import conv2d
from tinytorch.spatial.convolution import around
from tinytorch.spatial.strides import Stencil, pair
from tinytorch.tensor import Array, ShapeError, Tensor, array_of, primitive

from .checks import check_codes
from .codes import dequantize_rows
from .errors import QuantizationError

TERMS = 512
"""Products of an input, from -255 to 255, and a code, from -127 to 127, whose sum is below 2^24."""

LARGEST = 127


@primitive(upcast=True)
def integer_linear(
    x: Array, weight: Array, scale: Array, bias: Array | None = None,
    input_scale: Array | None = None, input_zero_point: Array | None = None, /,
) -> Array:  # fmt: skip
    """The product of inputs that become integers with symmetric codes: (..., in), (out, in) -> (..., out), plus bias.

    Each row of x is rounded to 8 bits with a scale of its own, or with `input_scale` and `input_zero_point`, which are
    for all. Sums of products are exact integers of 32 bits (int64 where there are too many for them), one for each
    group, and are multiplied by both scales. `weight` and `scale` are as in `Codes`. The gradient is straight-through:
    that of the product with the weights, as if inputs were not rounded.

    >>> integer_linear(np.array([[1.0, -2.0]], np.float32), np.array([[10, 20]], np.int8), np.array([[0.5]]))
    Tensor([[-14.9606]])
    """
    m, n = check_codes("integer_linear", x, weight, scale, None, bias)
    rows, sx = _as_integers(x.reshape(prod(x.shape[:-1]), n), input_scale, input_zero_point)  # (N, n), (N, 1) or ()
    codes = dequantize_rows(weight, np.ones((m, 1), np.float32))  # (m, n) whole numbers
    out = np.zeros((len(rows), m), np.result_type(scale, x if x.dtype.kind == "f" else scale))
    size = n // scale.shape[1]
    for group in range(scale.shape[1]):
        part = slice(group * size, (group + 1) * size)
        out += integer_product(rows[:, part], codes[:, part]) * scale[:, group]
    out *= sx
    if bias is not None:
        out = out + bias
    return out.reshape(*x.shape[:-1], m)


def _through(g: Any, x: Any, scale: Any, zero_point: Any) -> Any:
    """The straight-through gradient: rounding counts as the identity where the codes reach, and as constant beyond."""
    if scale is None:
        return g
    codes = np.rint(array_of(x) / array_of(scale)) + (0 if zero_point is None else array_of(zero_point))
    return g * ((codes >= -128) & (codes <= 127)).astype(g.dtype)


def _linear_gradient(g: Any, out: Any, x: Any, weight: Any, scale: Any, bias: Any, *given: Any) -> Any:
    numbers = dequantize_rows(array_of(weight), array_of(scale))  # (out, in)
    return _through(np.matmul(g, numbers.astype(g.dtype)), x, *given)


def _bias_gradient(g: Any, out: Any, *inputs: Any, **params: Any) -> Any:
    return g


defvjp(integer_linear, _linear_gradient, None, None, _bias_gradient, None, None, keep=("inputs",))


@primitive(upcast=True)
def integer_conv2d(
    x: Array, weight: Array, scale: Array, bias: Array | None = None,
    input_scale: Array | None = None, input_zero_point: Array | None = None, /, kernel_size: tuple[int, int] = (1, 1),
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Array:  # fmt: skip
    """The convolution of images that become integers with kernels of integers, exact before it is scaled.

    `weight` has a row of codes for each output channel, `scale` (O, 1). Each image has a scale of its own, unless
    `input_scale` and `input_zero_point` are given. The rest is as in `tinytorch.spatial.conv2d`.
    """
    m, n = check_codes("integer_conv2d", None, weight, scale, None, bias)
    if scale.shape[1] != 1:
        raise ShapeError(f"integer_conv2d: scale is {scale.shape}; it must be ({m}, 1), one number for each channel")
    if x.ndim != 4:
        raise ShapeError(
            f"integer_conv2d: x of shape {x.shape}; it must be (N, C, H, W): an image alone is passed as x[None]"
        )
    flat, sx = _as_integers(
        x.reshape(len(x), prod(x.shape[1:])), input_scale, input_zero_point
    )  # (N, C * H * W), (N, 1) or ()
    dtype = np.float32 if n <= TERMS else np.float64
    kernels = dequantize_rows(weight, np.ones((m, 1), dtype)).reshape(m, -1, *kernel_size)
    images = flat.reshape(x.shape).astype(dtype)  # where 0 is what pads
    total, _ = conv2d.forward(images, kernels, None, stride, padding, dilation, groups)  # (N, O, H', W')
    out: Array = total.astype(scale.dtype) * (scale[:, 0, None, None] * np.reshape(sx, (-1, 1, 1, 1)))
    return out if bias is None else out + bias[:, None, None]


def _images_gradient(
    g: Any, out: Any, x: Any, weight: Any, scale: Any, bias: Any, *given: Any, kernel_size: Any, **places: Any
) -> Any:
    kernels = dequantize_rows(array_of(weight), array_of(scale)).reshape(len(weight), -1, *kernel_size).astype(g.dtype)
    if isinstance(g, Tensor):  # it is differentiated again: the convolution is linear, so any images do
        images = Tensor(np.zeros(x.shape), g.dtype, requires_grad=True)
        with enable_grad():
            slopes = grad(conv2d(images, Tensor(kernels, g.dtype), **places), images, g, create_graph=True)
        return _through(slopes, x, *given)
    stride, dilation = (pair("conv2d", name, places.get(name, 1)) for name in ("stride", "dilation"))
    padding = around("conv2d", places.get("padding", 0), kernel_size, stride, dilation)
    padded = Stencil(kernel_size, stride, dilation, padding).surround(x)
    slopes = rules[conv2d](g, out, padded, (True, False, False), (x, kernels, None), places)[0]
    return _through(slopes, x, *given)


def _channels_gradient(g: Any, out: Any, *inputs: Any, **params: Any) -> Any:
    return g.sum(axis=(0, 2, 3))


defvjp(integer_conv2d, _images_gradient, None, None, _channels_gradient, None, None, keep=("inputs",))


def _as_integers(rows: Array, scale: Array | None, zero_point: Array | None) -> tuple[Array, Array]:
    """Rows as whole numbers in float32, counted from their zero point, and their scales, (n, 1) or one for all."""
    if scale is None:
        rows = rows.astype(np.result_type(rows, np.float32), copy=False)  # int8 has no 128, the magnitude of -128
        largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
        if not np.isfinite(largest).all():
            raise QuantizationError("integer_linear: infinity or NaN among the inputs has no code; look for its origin")
        scale = largest / LARGEST
        scale[scale == 0] = 1  # numbers below the least of the dtype count as 0
        return np.rint(rows / scale).clip(-LARGEST, LARGEST).astype(np.float32), scale
    if not np.isfinite(scale).all():
        raise QuantizationError("integer_linear: the range of the inputs is not known; calibrate(model, batches) first")
    zero = 0.0 if zero_point is None else float(zero_point)
    return (np.rint(rows / scale) + zero).clip(-128, 127).astype(np.float32) - np.float32(zero), scale


def integer_product(x: Array, y: Array) -> Array:
    """x (N, n) times the transpose of y (m, n), exactly, for whole numbers in float32, from -255 to 255 and from -127
    to 127: int32, or int64 from 65,536 terms on.

    >>> integer_product(np.full((1, 2000), 255, np.float32), np.full((1, 2000), 127, np.float32)) - 2000 * 255 * 127
    array([[0]], dtype=int32)
    """
    n = x.shape[1]
    total = np.zeros((len(x), len(y)), np.int32 if n < 2**16 else np.int64)
    for start in range(0, n, TERMS):
        terms = slice(start, start + TERMS)
        total += (x[:, terms] @ y[:, terms].T).astype(np.int32)
    return total
