"""Batch norm as a module, with the running statistics that it goes by once trained."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from tinytorch.layers import Module, Parameter
from tinytorch.layers.checks import non_negative, positive
from tinytorch.tensor import Tensor, note_write, ones, zeros

from .describing import described
from .normalization import batch_norm
from .stencil import images


class BatchNorm2d(Module):
    """Brings each channel to mean 0 and variance 1, then to `weight` and `bias`: (N, C, H, W) -> (N, C, H, W).

    While training, mean and variance are those of the batch, and the buffers `running_mean` and `running_var` move
    towards them by the share `momentum` (None: they are the plain average of all batches so far). After `eval()` the
    running ones are used, or, without `track_running_stats`, still those of the batch. `affine=False` leaves out weight
    and bias.

    Source: Ioffe, Szegedy 2015, Batch normalization, algorithms 1 and 2.

    >>> norm = BatchNorm2d(2, eps=0.0)
    >>> norm(Tensor([[[[1.0, 3.0]], [[6.0, 10.0]]]])).data
    array([[[[-1.,  1.]],
    <BLANKLINE>
            [[-1.,  1.]]]], dtype=float32)
    >>> norm.running_mean
    Tensor([0.2, 0.8])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
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
        return described(
            self.num_features,
            eps=(self.eps, 1e-5),
            momentum=(self.momentum, 0.1),
            affine=(self.affine, True),
            track_running_stats=(self.track_running_stats, True),
        )
