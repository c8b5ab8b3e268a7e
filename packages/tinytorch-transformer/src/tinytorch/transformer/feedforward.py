"""The feed-forward part of a block: each position for itself, through a wider layer and back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.layers import Linear, Module
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor

ACTIVATIONS: dict[str, Callable[[Any], Tensor]] = {
    "gelu": functools.partial(F.gelu, approximate="tanh"),
    "gelu_exact": functools.partial(F.gelu, approximate="none"),
    "relu": F.relu,
    "silu": F.silu,
    "swiglu": F.silu,
}


class FeedForward(Module):
    """down(f(up(x))), or down(silu(gate(x)) up(x)) for "swiglu": (..., embed_dim) -> (..., embed_dim).

    `hidden_dim` is 4 embed_dim unless given. `activation` is "gelu" (its tanh form), "gelu_exact", "relu", "silu" or
    "swiglu".

    Source: Vaswani et al. 2017, section 3.3; SwiGLU: Shazeer 2020, GLU Variants Improve Transformer, equation 6.

    >>> FeedForward(4, activation="swiglu")(Tensor([[1.0, 2.0, 3.0, 4.0]])).shape
    (1, 4)
    """

    def __init__(
        self,
        embed_dim: int,
        hidden_dim: int | None = None,
        activation: str = "gelu",
        bias: bool = True,
        *,
        dtype: npt.DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"FeedForward: activation is {activation!r}; known are {', '.join(ACTIVATIONS)}")
        hidden_dim = 4 * embed_dim if hidden_dim is None else hidden_dim
        self.activation = activation
        self.up = Linear(embed_dim, hidden_dim, bias, dtype=dtype, generator=generator)
        self.gate: Linear | None = None
        if activation == "swiglu":
            self.gate = Linear(embed_dim, hidden_dim, bias, dtype=dtype, generator=generator)
        self.down = Linear(hidden_dim, embed_dim, bias, dtype=dtype, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        f = ACTIVATIONS[self.activation]
        if self.gate is None:
            return self.down(f(self.up(x)))
        return self.down(f(self.gate(x)) * self.up(x))

    def extra_repr(self) -> str:
        return self.activation
