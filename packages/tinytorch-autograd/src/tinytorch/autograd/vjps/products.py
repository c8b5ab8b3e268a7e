"""Matrix products and einsum."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

import tinytorch.tensor as tt

from ..registry import Gradient, defvjp


def _left(g: Gradient, out: Gradient, x: Any, y: Any) -> Gradient:
    if x.ndim == 1 and y.ndim == 1:
        return g * y
    if y.ndim == 1:
        return np.expand_dims(g, -1) * y  # (..., n) -> (..., n, k)
    if x.ndim == 1:
        return np.sum(np.matmul(y, np.expand_dims(g, -1)), axis=-1)  # (..., k, m) @ (..., m, 1) -> (..., k)
    return np.matmul(g, np.swapaxes(y, -1, -2))


def _right(g: Gradient, out: Gradient, x: Any, y: Any) -> Gradient:
    if x.ndim == 1 and y.ndim == 1:
        return g * x
    if y.ndim == 1:
        return np.sum(np.expand_dims(g, -1) * x, axis=-2)  # (..., n, k) -> (..., k)
    if x.ndim == 1:
        return np.expand_dims(x, -1) * np.expand_dims(g, -2)  # (k, 1) * (..., 1, m)
    if y.ndim == 2 and x.ndim > 2:  # one matrix for a stack of rows: one product instead of a sum of many
        rows, gs = np.reshape(x, (-1, x.shape[-1])), np.reshape(g, (-1, g.shape[-1]))
        return np.matmul(np.swapaxes(rows, 0, 1), gs)
    return np.matmul(np.swapaxes(x, -1, -2), g)


def _einsum(g: Gradient, out: Gradient, *operands: Any, spec: str) -> list[Gradient]:
    """For each operand the product of the gradient with all others, summed over the letters it does not have."""
    sources, result = spec.split("->")
    terms = sources.split(",")
    sizes = {
        letter: n for term, x in zip(terms, operands, strict=True) for letter, n in zip(term, x.shape, strict=True)
    }
    gradients = []
    for place, term in enumerate(terms):
        others = [(t, x) for i, (t, x) in enumerate(zip(terms, operands, strict=True)) if i != place]
        target, extras = _distinct(term, sizes, g.dtype)
        known = set(result).union(*(t for t, _ in others), *(t for t, _ in extras))
        ones = [(letter, np.ones(sizes[letter], g.dtype)) for letter in sorted(set(target) - known)]
        factors = [(result, g), *others, *extras, *ones]
        names = ",".join(name for name, _ in factors)
        gradients.append(np.einsum(f"{names}->{target}", *(factor for _, factor in factors)))
    return gradients


def _distinct(term: str, sizes: dict[str, int], dtype: Any) -> tuple[str, list[tuple[str, Any]]]:
    """A term that names a letter twice reads a diagonal: each place gets its own letter, and an identity matrix."""
    letters, extras = "", []
    for letter in term:
        if letter in letters:
            fresh = next(c for c in string.ascii_letters if c not in sizes)
            sizes[fresh] = sizes[letter]
            extras.append((letter + fresh, np.eye(sizes[letter], dtype=dtype)))
            letter = fresh
        letters += letter
    return letters, extras


defvjp(tt.matmul, _left, _right, keep=("inputs",))
defvjp(tt.einsum_of, jointly=_einsum, keep=("inputs",))
