"""Cutting vectors into heads and joining them again: views, wherever memory allows it."""

from __future__ import annotations

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, ShapeError, primitive


@primitive
def split_heads(x: Array, /, num_heads: int) -> Array:
    """(B, T, H D) -> (B, H, T, D).

    >>> from tinytorch.tensor import zeros
    >>> split_heads(zeros(1, 1, 4), num_heads=2).shape
    (1, 2, 1, 2)
    """
    if x.ndim != 3 or num_heads < 1 or x.shape[-1] % num_heads:
        raise ShapeError(f"split_heads: {x.shape} into {num_heads} heads; the form is (B, T, D), D a multiple of heads")
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads).transpose(0, 2, 1, 3)


@primitive
def merge_heads(x: Array, /) -> Array:
    """(B, H, T, D) -> (B, T, H D).

    >>> from tinytorch.tensor import zeros
    >>> merge_heads(zeros(1, 2, 5, 4)).shape
    (1, 5, 8)
    """
    if x.ndim != 4:
        raise ShapeError(f"merge_heads: shape {x.shape}; the form is (B, H, T, D)")
    B, H, T, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, H * D)


defvjp(split_heads, lambda g, out, x, num_heads: merge_heads.lift(g))
defvjp(merge_heads, lambda g, out, x: split_heads.lift(g, num_heads=x.shape[1]))
