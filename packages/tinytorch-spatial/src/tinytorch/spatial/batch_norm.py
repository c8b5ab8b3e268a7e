"""Batch norm: each channel is brought to mean 0 and variance 1 over the batch and the image.

Source: Ioffe, Szegedy 2015, Batch normalization, algorithms 1 and 2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.autograd import defvjp
from tinytorch.layers import Module, Parameter
from tinytorch.layers.checks import non_negative, positive
from tinytorch.layers.functional import row_blocks
from tinytorch.tensor import Array, Tensor, array_of, note_write, ones, primitive, zeros

from .describing import describe
from .memory import batch_first, batch_last, float_dtype
from .strides import images


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
            f"batch_norm: x of shape {x.shape} has {x.size // C} numbers per channel; "
            "a variance needs at least two: train on more, or call eval()"
        )


@primitive(fused=True, upcast=True)
def batch_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, /, running_mean: Tensor | None = None,
    running_var: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> tuple[Array, tuple[Array, Array]]:  # fmt: skip
    """(x - mean) / sqrt(var + eps) * weight + bias, channel by channel: (N, C, ...), (C,), (C,) -> (N, C, ...).

    With `training` mean and variance are those of the batch, over all axes but the channels, and the running ones, if
    given, move towards them in place, by the share `momentum`; the running variance is that of n - 1 degrees of
    freedom. Without, the running ones are used.

    Raises ValueError for shapes that do not fit, and when training on a single number per channel.

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
        mean, var = (array_of(known).astype(dtype)[:, None] for known in (running_mean, running_var))
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


def _follow(running: Any, value: Array, momentum: float) -> None:
    values = array_of(running)
    values *= 1 - momentum
    values += momentum * value
    note_write(values)


def _backward(
    g: Array, out: Array, saved: tuple[Array, Array], needs: tuple[bool, ...], x: Array, weight: Array | None,
    bias: Array | None, training: bool = False, **params: Any,
) -> tuple[Array | None, ...]:  # fmt: skip
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
    x: Any, weight: Any = None, bias: Any = None, running_mean: Any = None, running_var: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """The running values are not moved: that has happened."""
    wide = (1, -1, *[1] * (x.ndim - 2))
    if training:
        axes = (0, *range(2, x.ndim))
        centered = x - np.mean(x, axis=axes, keepdims=True)
        var = np.mean(centered * centered, axis=axes, keepdims=True)
    else:
        mean, var = (Tensor(array_of(known), x.dtype).reshape(wide) for known in (running_mean, running_var))
        centered = x - mean
    out = centered / np.sqrt(var + eps)
    out = out if weight is None else out * weight.reshape(wide)
    return out if bias is None else out + bias.reshape(wide)


defvjp(batch_norm, fused=_backward, composition=_by_parts)


class BatchNorm2d(Module):
    """Brings each channel to mean 0 and variance 1, then to `weight` and `bias`: (N, C, H, W) -> (N, C, H, W).

    While training, mean and variance are those of the batch, and the buffers `running_mean` and `running_var` move
    towards them by the share `momentum` (None: they are the plain average of all batches so far). After `eval()` the
    running ones are used, or, without `track_running_stats`, still those of the batch. `affine=False` leaves out weight
    and bias.

    >>> norm = BatchNorm2d(2, eps=0.0)
    >>> norm(Tensor([[[[1.0, 3.0]], [[6.0, 10.0]]]])).data
    array([[[[-1.,  1.]],
    <BLANKLINE>
            [[-1.,  1.]]]], dtype=float32)
    >>> norm.running_mean
    Tensor([0.2, 0.8])
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        positive("BatchNorm2d", num_features=num_features)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm2d: momentum is {momentum}; it must lie between 0 and 1, or be None")
        self.num_features = num_features
        self.eps = non_negative("BatchNorm2d", eps)
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = Parameter(ones(num_features, dtype=dtype)) if affine else None
        self.bias = Parameter(zeros(num_features, dtype=dtype)) if affine else None
        self.running_mean: Tensor | None
        self.running_var: Tensor | None
        self.num_batches_tracked: Tensor | None
        tracked = (zeros(num_features, dtype=dtype), ones(num_features, dtype=dtype), Tensor(0))
        for name, start in zip(("running_mean", "running_var", "num_batches_tracked"), tracked, strict=True):
            self.register_buffer(name, start if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Forget the batches seen so far: mean 0, variance 1."""
        for buffer, start in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer.data[...] = start
                note_write(buffer.data)

    def forward(self, x: Any) -> Tensor:
        images("BatchNorm2d", x)
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm2d: x of shape {x.shape} has {x.shape[1]} channels; it must have {self.num_features}"
            )
        out = batch_norm(
            x,
            self.weight,
            self.bias,
            running_mean=self.running_mean,
            running_var=self.running_var,
            training=self.training or self.running_mean is None,
            momentum=self._share(),
            eps=self.eps,
        )
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.data[...] += 1
            note_write(self.num_batches_tracked.data)
        return out

    def _share(self) -> float:
        """How far the running statistics move: the third batch is a third of their average."""
        if self.momentum is not None:
            return self.momentum
        return 0.0 if self.num_batches_tracked is None else 1 / (self.num_batches_tracked.item() + 1)

    def extra_repr(self) -> str:
        return describe(
            self.num_features,
            eps=(self.eps, 1e-5),
            momentum=(self.momentum, 0.1),
            affine=(self.affine, True),
            track_running_stats=(self.track_running_stats, True),
        )
