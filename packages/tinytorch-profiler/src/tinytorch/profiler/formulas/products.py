"""Matrix products, convolutions and attention: what PyTorch's FlopCounterMode counts, counted as it does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinytorch.tensor as tt
from tinytorch.layers import functional as F

from ..flops import flops_of, per_gradient
from ..shaped import Shaped


def _matmul(out: Shaped, x: Shaped, y: Shaped) -> int:
    return 2 * out.size * x.shape[-1]


def _linear(out: Shaped, x: Shaped, weight: Shaped, bias: Shaped | None) -> int:
    return 2 * out.size * weight.shape[0]


flops_of(tt.matmul, per_gradient(_matmul, 0, 1))(_matmul)
flops_of(F.linear, per_gradient(_linear, 0, 1))(_linear)


def _quantized_linear(out: Shaped, x: Shaped, *codes: Shaped | None, **params: Any) -> int:
    return 2 * out.size * x.shape[-1]


for of_codes in ("quantized_linear", "integer_linear"):
    flops_of(of_codes, per_gradient(_quantized_linear, 0))(_quantized_linear)


def _einsum(out: Shaped, *operands: Shaped, spec: str) -> int:
    sources, result = spec.split("->")
    return _contraction(sources.split(","), result, _sizes(sources, operands))


def _einsum_backward(needs: tuple[bool, ...], out: Shaped, *operands: Shaped, spec: str) -> int:
    """The gradient of an operand is the product of the gradient with all others."""
    sources, result = spec.split("->")
    terms, sizes = sources.split(","), _sizes(sources, operands)
    return sum(
        _contraction([result, *terms[:place], *terms[place + 1 :]], term, sizes)
        for place, (term, needed) in enumerate(zip(terms, needs, strict=True))
        if needed
    )


def _sizes(sources: str, operands: tuple[Shaped, ...]) -> dict[str, int]:
    shapes = zip(sources.split(","), (x.shape for x in operands), strict=True)
    return {letter: n for term, shape in shapes for letter, n in zip(term, shape, strict=True)}


def _contraction(terms: list[str], result: str, sizes: dict[str, int]) -> int:
    """Two at a time, in the order that NumPy takes: a multiply-add for every combination of the letters of a pair."""
    shapes = [np.broadcast_to(np.float32(0), [sizes[letter] for letter in term]) for term in terms]  # without memory
    named = {letter for term in terms for letter in term}
    reached = "".join(
        letter for letter in result if letter in named
    )  # a letter of one operand alone is spread, not made
    steps = np.einsum_path(f"{','.join(terms)}->{reached}", *shapes, optimize="greedy")[0][1:]
    flops = 0
    for places in steps:
        pair = [terms.pop(place) for place in sorted(places, reverse=True)]
        letters = {letter for term in pair for letter in term}
        terms.append("".join(letters & {letter for term in (*terms, result) for letter in term}))
        flops += 2 * math.prod(sizes[letter] for letter in letters) * (len(pair) - 1)
    return flops


flops_of(tt.contract, _einsum_backward)(_einsum)


def _conv2d(out: Shaped, x: Shaped, weight: Shaped, *rest: Any, **params: Any) -> int:
    """weight is (out channels, in channels of a group, rows, columns)."""
    return 2 * out.size * math.prod(weight.shape[1:])


flops_of("conv2d", per_gradient(_conv2d, 0, 1))(_conv2d)


def _integer_conv2d(out: Shaped, x: Shaped, *rest: Any, kernel_size: Any, groups: int = 1, **params: Any) -> int:
    return 2 * out.size * math.prod(kernel_size) * x.shape[1] // groups


flops_of("integer_conv2d", per_gradient(_integer_conv2d, 0))(_integer_conv2d)


def _attention(out: Shaped, q: Shaped, k: Shaped, v: Shaped, *rest: Any, **params: Any) -> int:
    """Scores and weighted sums, all of them: what a causal mask saves is not subtracted."""
    return 2 * pairs(q, k, **params) * (q.shape[-1] + v.shape[-1])


def _attention_backward(
    needs: tuple[bool, ...], out: Shaped, q: Shaped, k: Shaped, v: Shaped, *rest: Any, **params: Any
) -> int:
    """The scores again, the gradients of the weights and of v, and those of q and k."""
    return 2 * pairs(q, k) * (3 * q.shape[-1] + 2 * v.shape[-1])


def pairs(q: Shaped, k: Shaped, cache: Any = None, **params: Any) -> int:
    """Pairs of a query and a key, in all heads; a cache has keys of its own: all so far, or its window and sinks."""
    new = k.shape[-2]
    keys: int = new if cache is None else cache.seq_pos + new
    reach = getattr(cache, "window", None)
    if reach is not None:
        keys = min(keys, reach - 1 + new + getattr(cache, "sinks", 0))
    return math.prod(q.shape[:-1]) * keys


flops_of("attention", _attention_backward)(_attention)
flops_of("cached_attention")(_attention)
