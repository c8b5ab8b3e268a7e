"""The feed-forward part of a block: each position for itself, through a wider layer and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytorch.layers import GELU, Linear, Module, ReLU, SiLU, lower, lowers
from tinytorch.tensor import Array, Tensor, multiply

from .config import DType, Generator

ACTIVATIONS: dict[str, Module] = {
    "gelu": GELU("tanh"), "gelu_exact": GELU("none"), "relu": ReLU(), "silu": SiLU(), "swiglu": SiLU(),
}  # fmt: skip


class FeedForward(Module):
    """down(f(up(x))), or down(silu(gate(x)) up(x)) for "swiglu": (..., embed_dim) -> (..., embed_dim).

    `hidden_dim` is 4 embed_dim unless given. `activation` is "gelu" (its tanh form), "gelu_exact", "relu", "silu" or
    "swiglu".

    Source: Vaswani et al. 2017, section 3.3; SwiGLU: Shazeer 2020, GLU Variants Improve Transformer, equation 6.

    >>> FeedForward(4, activation="swiglu")(Tensor([[1.0, 2.0, 3.0, 4.0]])).shape
    (1, 4)
    """

    def __init__(
        self, embed_dim: int, hidden_dim: int | None = None, activation: str = "gelu", bias: bool = True, *,
        dtype: DType = None, generator: Generator = None,
    ) -> None:  # fmt: skip
        if activation not in ACTIVATIONS:
            raise ValueError(f"FeedForward: activation is {activation!r}; known are {', '.join(ACTIVATIONS)}")
        hidden_dim = 4 * embed_dim if hidden_dim is None else hidden_dim
        self.activation = activation
        drawn: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.up = Linear(embed_dim, hidden_dim, bias, **drawn)
        self.gate = Linear(embed_dim, hidden_dim, bias, **drawn) if activation == "swiglu" else None
        self.down = Linear(hidden_dim, embed_dim, bias, **drawn)

    def forward(self, x: Tensor) -> Tensor:
        f = ACTIVATIONS[self.activation]
        if self.gate is None:
            return self.down(f(self.up(x)))  # (..., D) -> (..., hidden) -> (..., D)
        return self.down(f(self.gate(x)) * self.up(x))  # (..., D) -> (..., hidden) -> (..., D)

    @lowers("forward")
    def lower(self) -> Callable[..., Array] | None:
        parts = (ACTIVATIONS[self.activation], self.up, self.down, *filter(None, [self.gate]))
        functions: list[Any] = [lower(part) for part in parts]
        if None in functions:
            return None
        f, up, down, *gates = functions
        times = multiply.lower()

        def forward(x: Array) -> Array:
            rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])  # (..., D) -> (n, D): cut once for two products
            hidden = times(f(gates[0](rows)), up(rows)) if gates else f(up(rows))  # (n, hidden)
            return down(hidden) if x.ndim == 2 else down(hidden).reshape(x.shape)  # (n, D) -> (..., D)

        return forward

    def extra_repr(self) -> str:
        return self.activation
