"""Matrix products and einsum."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np

import tinytorch.tensor as tt

from ..registry import Gradient, defvjp
from .elementwise import INPUTS

product = tt.matmul.lift
"""The primitive rather than np.matmul: it sums float16 in float32, a hundred times as fast."""


def _left(g: Gradient, out: Gradient, x: Any, y: Any) -> Gradient:
    if x.ndim == 1 and y.ndim == 1:
        return g * y
    if y.ndim == 1:
        return np.expand_dims(g, -1) * y  # (..., n) -> (..., n, k)
    if x.ndim == 1:
        return np.sum(product(y, np.expand_dims(g, -1)), axis=-1)  # (..., k, m) @ (..., m, 1) -> (..., k)
    return product(g, np.swapaxes(y, -1, -2))


def _right(g: Gradient, out: Gradient, x: Any, y: Any) -> Gradient:
    if x.ndim == 1 and y.ndim == 1:
        return g * x
    if x.ndim == 1:
        return np.expand_dims(x, -1) * np.expand_dims(g, -2)  # (k, 1) * (..., 1, m)
    if y.ndim <= 2 and x.ndim > y.ndim:  # one matrix or column for a stack of rows: one product instead of many
        n = math.prod(x.shape[:-1])
        x, g = np.reshape(x, (n, x.shape[-1])), np.reshape(g, (n, *y.shape[1:]))
    return product(np.swapaxes(x, -1, -2), g)


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
        gradients.append(tt.contract.lift(*(factor for _, factor in factors), spec=f"{names}->{target}"))
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


defvjp(tt.matmul, _left, _right, keep=INPUTS, new=True)
defvjp(tt.contract, jointly=_einsum, keep=INPUTS)
