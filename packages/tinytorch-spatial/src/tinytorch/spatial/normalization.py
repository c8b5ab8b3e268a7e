"""Batch norm: each channel is brought to mean 0 and variance 1 over the batch and the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.layers.functional import row_blocks
from tinytorch.tensor import Array, Tensor, note_write, primitive

from .memory import batch_first, batch_last, float_dtype


def _check(x: Array, scales: dict[str, Any], training: bool, eps: float) -> None:
    if np.ndim(x) < 2:
        raise ValueError(f"batch_norm: x of shape {np.shape(x)}; it must be (N, C, ...)")
    C = x.shape[1]
    for name, scale in scales.items():
        if scale is not None and np.shape(scale) != (C,):
            raise ValueError(f"batch_norm: {name} of shape {np.shape(scale)} for {C} channels; it must be ({C},)")
    known = [scales[name] is not None for name in ("running_mean", "running_var")]
    if not training and not all(known):
        raise ValueError("batch_norm: without training it needs running_mean and running_var; pass both")
    if known[0] != known[1]:
        raise ValueError("batch_norm: only one of running_mean and running_var is given; pass both or neither")
    if training and x.size < 2 * C:
        raise ValueError(
            f"batch_norm: x of shape {x.shape} has {x.size // C} numbers a channel; "
            "a variance needs two at least: train on more, or call eval()"
        )


@primitive(fused=True)
def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    /,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, tuple[Array, Array]]:
    """(x - mean) / sqrt(var + eps) * weight + bias, channel by channel: (N, C, ...), (C,), (C,) -> (N, C, ...).

    With `training` mean and variance are those of the batch, over all axes but the channels, and the running ones, if
    given, move towards them in place, by the share `momentum`; the running variance is that of n - 1 degrees of
    freedom. Without, the running ones are used.

    Raises ValueError for shapes that do not fit, and when training on a single number a channel.

    Source: Ioffe, Szegedy 2015, Batch normalization, algorithm 1.

    >>> batch_norm(Tensor([[1.0], [3.0]]), training=True, eps=0.0)
    Tensor([[-1.],
            [ 1.]])
    """
    scales = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    _check(x, scales, training, eps)
    dtype = float_dtype(x, weight, bias)
    channels = batch_last(x, dtype)  # (C, ..., N)
    rows = channels.reshape(len(channels), math.prod(channels.shape[1:]))
    out = np.empty(rows.shape, dtype)
    if training:
        mean, var = np.empty((2, len(rows), 1), dtype)
    else:
        mean, var = (_values(known).astype(dtype)[:, None] for known in (running_mean, running_var))
    rstd = np.empty_like(mean)
    for block in row_blocks(*rows.shape):
        result = out[block]
        if training:
            np.mean(rows[block], axis=1, keepdims=True, out=mean[block])
        np.subtract(rows[block], mean[block], out=result)
        if training:
            np.mean(result * result, axis=1, keepdims=True, out=var[block])
        np.divide(1, np.sqrt(var[block] + eps), out=rstd[block])
        result *= rstd[block] if weight is None else rstd[block] * weight[block, None]
        if bias is not None:
            result += bias[block, None]
    if training and running_mean is not None:
        n = rows.shape[1]
        _follow(running_mean, mean[:, 0], momentum)
        _follow(running_var, var[:, 0] * (n / (n - 1)), momentum)
    return batch_first(out.reshape(channels.shape)), (mean, rstd)


def _values(running: Any) -> Array:
    return running.data if isinstance(running, Tensor) else running


def _follow(running: Any, value: Array, momentum: float) -> None:
    values = _values(running)
    values *= 1 - momentum
    values += momentum * value
    note_write(values)


def _backward(
    g: Array,
    out: Array,
    saved: tuple[Array, Array],
    needs: tuple[bool, ...],
    x: Array,
    weight: Array | None,
    bias: Array | None,
    training: bool = False,
    **params: Any,
) -> tuple[Array | None, ...]:
    """With n = (x - mean) rstd: dweight = sum(g n), dbias = sum(g), and dx = weight rstd g, or with the statistics of
    the batch, which x moves too, dx = weight rstd (g - mean(g) - n mean(g n)).
    """
    mean, rstd = saved
    channels = batch_last(x)
    rows = channels.reshape(len(channels), math.prod(channels.shape[1:]))
    grads = batch_last(g).reshape(rows.shape)
    dx = np.empty(rows.shape, g.dtype)
    dweight, dbias = np.empty((2, len(mean), 1), g.dtype)
    for block in row_blocks(*rows.shape):
        result = dx[block]
        normal = np.subtract(rows[block], mean[block])
        normal *= rstd[block]
        np.multiply(grads[block], normal, out=result)
        np.add.reduce(result, axis=1, keepdims=True, out=dweight[block])
        np.add.reduce(grads[block], axis=1, keepdims=True, out=dbias[block])
        if training:
            normal *= dweight[block] / -rows.shape[1]
            normal -= dbias[block] / rows.shape[1]
            normal += grads[block]
        slope = normal if training else grads[block]
        np.multiply(slope, rstd[block] if weight is None else rstd[block] * weight[block, None], out=result)
    return batch_first(dx.reshape(channels.shape)) if needs[0] else None, dweight[:, 0], dbias[:, 0]


def _by_parts(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    running_mean: Any = None,
    running_var: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """The running values are not moved: that has happened."""
    wide = (1, -1, *[1] * (x.ndim - 2))
    if training:
        axes = (0, *range(2, x.ndim))
        centred = x - np.mean(x, axis=axes, keepdims=True)
        var = np.mean(centred * centred, axis=axes, keepdims=True)
    else:
        mean, var = (Tensor(_values(known), x.dtype).reshape(wide) for known in (running_mean, running_var))
        centred = x - mean
    out = centred / np.sqrt(var + eps)
    out = out if weight is None else out * weight.reshape(wide)
    return out if bias is None else out + bias.reshape(wide)


defvjp(batch_norm, fused=_backward, composition=_by_parts)
