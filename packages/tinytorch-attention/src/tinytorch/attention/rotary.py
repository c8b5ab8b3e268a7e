"""Rotary positions: queries and keys are turned by angles that grow with their place in the sequence.

The product of a query and a key then depends on how far apart they are, not on where they stand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.layers import Module
from tinytorch.tensor import Array, Tensor, primitive


@primitive
def rotate(x: Array, /, cos: Array, sin: Array) -> Array:
    """Turn each pair (x[i], x[i + D/2]) of the last axis by an angle, given as cos and sin (..., T, D/2).

    >>> from tinytorch.tensor import Tensor
    >>> rotate(Tensor([[1.0, 0.0]]), cos=np.array([[0.0]]), sin=np.array([[1.0]]))  # a quarter of a turn
    Tensor([[0., 1.]])
    """
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    out = np.empty_like(x)
    np.multiply(first, cos, out=out[..., :half])
    out[..., :half] -= second * sin
    np.multiply(second, cos, out=out[..., half:])
    out[..., half:] += first * sin
    return out


def _turn_back(g: Any, out: Any, x: Any, cos: Array, sin: Array) -> Any:
    return rotate.lift(g, cos=cos, sin=-sin)


defvjp(rotate, _turn_back)


class RotaryEmbedding(Module):
    """Turns x (B, H, T, D) by the angles of its positions; pair i by position / base ** (2 i / D).

    Pairs are (i, i + D/2), the layout of Llama checkpoints. `scaling` is what a Llama configuration calls rope_scaling:
    `{"rope_type": "linear", "factor": f}` divides all angles by f; `"llama3"` (with `factor`, `low_freq_factor`,
    `high_freq_factor`, `original_max_position_embeddings`) only those that turn too slowly to have been learned.

    Raises ValueError for an odd `head_dim` and for kinds of scaling that are not known.

    Source: Su et al. 2021, RoFormer, equation 15; scaling: Llama 3.1's reference code.

    >>> rotary = RotaryEmbedding(head_dim=4)
    >>> x = Tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    >>> rotary(x, positions=[0])
    Tensor([[[[1., 0., 0., 0.]]]])
    """

    def __init__(self, head_dim: int, base: float = 10000.0, scaling: Mapping[str, Any] | None = None) -> None:
        if head_dim < 2 or head_dim % 2:
            raise ValueError(f"RotaryEmbedding: head_dim {head_dim}; it must be even, numbers are turned in pairs")
        if not base > 1:
            raise ValueError(f"RotaryEmbedding: base {base}; it must be above 1, usually 10000")
        self.head_dim = head_dim
        self.base = base
        self.scaling = dict(scaling) if scaling else None
        frequencies = base ** (-np.arange(0, head_dim, 2) / head_dim)  # radians a position, (D/2,)
        self._frequencies = scaled(frequencies, self.scaling) if self.scaling else frequencies
        self._tables = (np.empty((0, 0)), np.empty((0, 0)))

    def forward(self, x: Any, positions: Any = None) -> Tensor:
        """x at `positions`, (T,) or (B, T) integers, counted from 0 unless given."""
        if x.ndim != 4 or x.shape[-1] != self.head_dim:
            raise ValueError(f"RotaryEmbedding: x is {x.shape}; the form is (B, H, T, {self.head_dim})")
        cos, sin = self.tables(x.shape[-2], positions, x.dtype)
        return rotate(x, cos=cos, sin=sin)

    def tables(self, length: int, positions: Any, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """cos and sin of the angles: (T, D/2) for positions (T,), (B, 1, T, D/2) for positions (B, T)."""
        if positions is None:
            cos, sin = self._up_to(length, dtype)
            return cos[:length], sin[:length]
        where = as_positions("RotaryEmbedding", positions, length)
        cos, sin = self._up_to(int(where.max(initial=-1)) + 1, dtype)
        return (cos[where], sin[where]) if where.ndim == 1 else (cos[where][:, None], sin[where][:, None])

    def _up_to(self, length: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """The tables of at least `length` positions, made once and doubled when they are too short."""
        cos, sin = self._tables
        if len(cos) < length or cos.dtype != dtype:
            places = np.arange(max(length, 2 * len(cos), 64))
            angles = np.outer(places, self._frequencies)  # in float64: large angles need the digits
            self._tables = cos, sin = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
        return cos, sin

    def extra_repr(self) -> str:
        scaling = f", scaling={self.scaling}" if self.scaling else ""
        return f"{self.head_dim}, base={self.base:g}{scaling}"


def as_positions(name: str, positions: Any, length: int) -> Array:
    """`positions` as an array (T,) or (B, T) of integers from 0; raises ValueError or TypeError for anything else."""
    where = np.asarray(positions)
    if where.dtype.kind not in "iu":
        raise TypeError(f"{name}: positions of dtype {where.dtype}; they are integers")
    if where.ndim not in (1, 2) or where.shape[-1] != length:
        raise ValueError(f"{name}: positions of shape {where.shape} for {length} tokens; give (T,) or (B, T)")
    if where.size and where.min() < 0:
        raise ValueError(f"{name}: position {where.min()}; positions count from 0")
    return where


def scaled(frequencies: Array, scaling: Mapping[str, Any]) -> Array:
    """Frequencies slowed down for contexts longer than those that a model was first trained on."""
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return frequencies
    if kind == "linear":
        return frequencies / scaling["factor"]
    if kind != "llama3":
        raise ValueError(f"RotaryEmbedding: scaling {kind!r}; known are 'default', 'linear' and 'llama3'")
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)  # within the first context
    share = np.clip((turns - low) / (high - low), 0, 1)  # 1: fast, as it was; 0: slow, divided by the factor
    return share * frequencies + (1 - share) * frequencies / scaling["factor"]
