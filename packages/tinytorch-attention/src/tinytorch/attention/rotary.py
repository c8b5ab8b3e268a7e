"""Rotary positions: queries and keys are rotated by angles that grow with their position in the sequence.

The product of a query and a key then depends on the distance between them, not on where they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.layers import Module, lowers
from tinytorch.layers.checks import extremes
from tinytorch.tensor import Array, DTypeError, ShapeError, Tensor, array_of, primitive


@primitive
def rotate(x: Array, /, cos: Array, sin: Array) -> Array:
    """Rotate each pair (x[i], x[i + D/2]) of the last axis by an angle: (..., T, D), cos and sin are (..., T, D/2).

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


defvjp(rotate, lambda g, out, x, cos, sin: rotate.lift(g, cos=cos, sin=-sin))  # back by the same angle


class RotaryEmbedding(Module):
    """Rotates x (B, H, T, D) by the angles of its positions; pair i by position / base ** (2 i / D).

    Pairs are (i, i + D/2), the layout of Llama checkpoints. `scaling` is what a Llama configuration calls rope_scaling:
    `{"rope_type": "linear", "factor": f}` divides all angles by f; `"llama3"` (with `factor`, `low_freq_factor`,
    `high_freq_factor`, `original_max_position_embeddings`) only those of pairs that turn slowly; `"factors"` divides
    those of pair i by `factors[i]`, which GGUF files hold in place of a rule.

    Raises ValueError for an odd `head_dim`, and for a scaling that is not known or lacks a number.

    Source: Su et al. 2021, RoFormer, equation 15; scaling: Llama 3.1's reference code.

    >>> rotary = RotaryEmbedding(head_dim=4)
    >>> x = Tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    >>> rotary(x, positions=[0])
    Tensor([[[[1., 0., 0., 0.]]]])
    """

    def __init__(self, head_dim: int, base: float = 10000.0, scaling: Mapping[str, Any] | None = None) -> None:
        if head_dim < 2 or head_dim % 2:
            raise ValueError(f"RotaryEmbedding: head_dim {head_dim}; it must be even, numbers are rotated in pairs")
        if not 1 < base < math.inf:
            raise ValueError(f"RotaryEmbedding: base {base}; it must be above 1, usually 10000")
        self.head_dim = head_dim
        self.base = base
        self.scaling = dict(scaling) if scaling else None
        frequencies = base ** (-np.arange(0, head_dim, 2) / head_dim)  # radians per position, (D/2,)
        self._frequencies = scale_frequencies(frequencies, self.scaling) if self.scaling else frequencies
        self._tables: dict[np.dtype[Any], tuple[Array, Array]] = {}

    def forward(self, x: Any, positions: Any = None) -> Tensor:
        """x (B, H, T, D) at `positions`, (T,) or (B, T) integers, 0 to T - 1 unless given: (B, H, T, D)."""
        self._check_input(x)
        cos, sin = self.tables(x.shape[-2], positions, x.dtype)  # (T, D/2), or (B, 1, T, D/2)
        return rotate(x, cos=cos, sin=sin)

    @lowers("forward", "tables", "_up_to", "_check_input")
    def lower(self) -> Callable[..., Array]:
        rotate_array = rotate.lower()
        last: tuple[Any, ...] = (None, None, None, None)  # the same for queries and keys of all layers

        def forward(x: Array, positions: Any = None) -> Array:
            nonlocal last
            self._check_input(x)
            before, length, dtype, tables = last
            if positions is None or positions is not before or (length, dtype) != (x.shape[-2], x.dtype):
                tables = self.tables(x.shape[-2], positions, x.dtype)
                if isinstance(positions, np.ndarray) and positions.base is None and not positions.flags.writeable:
                    last = positions, x.shape[-2], x.dtype, tables
            cos, sin = tables
            return rotate_array(x, cos=cos, sin=sin)

        return forward

    def tables(self, length: int, positions: Any, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """cos and sin of the angles: (T, D/2) for positions (T,), (B, 1, T, D/2) for positions (B, T)."""
        if positions is None:
            cos, sin = self._up_to(length, dtype)
            return cos[:length], sin[:length]
        index = as_positions("RotaryEmbedding", positions, length)
        cos, sin = self._up_to(extremes(index)[1] + 1, dtype)
        return (cos[index], sin[index]) if index.ndim == 1 else (cos[index][:, None], sin[index][:, None])

    def _check_input(self, x: Any) -> None:
        if x.ndim != 4 or x.shape[-1] != self.head_dim:
            raise ShapeError(f"RotaryEmbedding: x is {x.shape}; the form is (B, H, T, {self.head_dim})")

    def _up_to(self, length: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """The tables of at least `length` positions, kept per dtype and doubled when they are too short."""
        known = len(self._tables[dtype][0]) if dtype in self._tables else 0
        if known < length:
            angles = np.outer(np.arange(max(length, 2 * known, 64)), self._frequencies)  # float64, for large angles
            self._tables[dtype] = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
        return self._tables[dtype]

    def extra_repr(self) -> str:
        scaling = f", scaling={self.scaling}" if self.scaling else ""
        return f"{self.head_dim}, base={self.base:g}{scaling}"


def as_positions(name: str, positions: Any, length: int) -> Array:
    """`positions` as an array (T,) or (B, T) of integers from 0.

    Raises DTypeError for other numbers, ShapeError for other shapes, ValueError for negative positions; messages begin
    with `name`.
    """
    index = array_of(positions)
    if index.dtype.kind not in "iu":
        raise DTypeError(f"{name}: positions of dtype {index.dtype}; they are integers")
    if index.ndim not in (1, 2) or index.shape[-1] != length:
        raise ShapeError(f"{name}: positions of shape {index.shape} for {length} tokens; give (T,) or (B, T)")
    if (lowest := extremes(index)[0]) < 0:
        raise ValueError(f"{name}: position {lowest}; positions count from 0")
    return index


def scale_frequencies(frequencies: Array, scaling: Mapping[str, Any]) -> Array:
    """Lower frequencies, for contexts longer than those that a model was first trained on."""
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return frequencies
    if kind == "factors":
        return frequencies / _factors(scaling, len(frequencies))
    if kind not in ("linear", "llama3"):
        raise ValueError(f"RotaryEmbedding: scaling {kind!r}; known are 'default', 'linear', 'llama3' and 'factors'")
    slow = frequencies / _positive(scaling, "factor")
    if kind == "linear":
        return slow
    low, high = _positive(scaling, "low_freq_factor"), _positive(scaling, "high_freq_factor")
    if low >= high:
        raise ValueError(f"RotaryEmbedding: low_freq_factor {low} and high_freq_factor {high}; the first is smaller")
    turns = _positive(scaling, "original_max_position_embeddings") * frequencies / (2 * math.pi)  # in the first context
    share = np.clip((turns - low) / (high - low), 0, 1)  # 1: fast, as it was; 0: slow, divided by the factor
    scaled: Array = share * frequencies + (1 - share) * slow
    return scaled


def _positive(scaling: Mapping[str, Any], name: str) -> float:
    value = scaling.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"RotaryEmbedding: scaling sets {name} to {value!r}; it must be a number above 0")
    return value


def _factors(scaling: Mapping[str, Any], pairs: int) -> Array:
    factors = np.asarray(scaling.get("factors", ()))
    if factors.shape != (pairs,) or factors.dtype.kind not in "iuf" or not ((factors > 0) & (factors < np.inf)).all():
        what = f"{factors.shape} {factors.dtype}" if factors.shape != (pairs,) else "not numbers above 0"
        raise ValueError(f"RotaryEmbedding: scaling sets factors to {what}; there is one number above 0 for each pair")
    return factors
