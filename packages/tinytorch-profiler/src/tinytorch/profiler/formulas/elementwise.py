"""Everything but products: how many operations each element takes, forward and backward."""

from __future__ import annotations

from typing import Any

import tinytorch.tensor as tt
from tinytorch.layers import functional as F
from tinytorch.tensor import Primitive

from ..flops import flops_of
from ..shaped import Shaped
from .products import held, pairs


def made(primitive: Primitive | str, forward: int, *backward: int) -> None:
    """So many for each element of the result, and of the gradient of each input."""
    flops_of(
        primitive,
        lambda needs, out, *inputs, **params: (
            out.size * sum(n for n, needed in zip(backward, needs, strict=False) if needed)
        ),
        elementwise=True,
    )(lambda out, *inputs, **params: forward * out.size)


def folded(primitive: Primitive | str, forward: int, backward: int) -> None:
    """So many for each element of the first input, and of its gradient."""
    flops_of(primitive, lambda needs, out, x, *rest, **params: backward * x.size, elementwise=True)(
        lambda out, x, *rest, **params: forward * x.size
    )


# The result, and the rule of each input as it stands in the stage that defines it.
made(tt.add, 1, 0, 0)
made(tt.subtract, 1, 0, 1)
made(tt.multiply, 1, 1, 1)
made(tt.divide, 1, 1, 3)
made(tt.floor_divide, 1, 0, 0)
made(tt.remainder, 1, 0, 3)
made(tt.power, 1, 3, 3)
made(tt.maximum, 1, 1, 1)
made(tt.minimum, 1, 1, 1)
made(tt.clip, 2, 0)
made(tt.negative, 1, 1)
made(tt.abs, 1, 2)
made(tt.sign, 1, 0)
made(tt.floor, 1, 0)
made(tt.ceil, 1, 0)
made(tt.round, 1, 0)
made(tt.exp, 1, 1)
made(tt.log, 1, 1)
made(tt.sqrt, 1, 2)
made(tt.tanh, 1, 3)
made(tt.sin, 1, 2)
made(tt.cos, 1, 3)
made(tt.tan, 1, 3)
made(tt.arcsin, 1, 5)
made(tt.arccos, 1, 6)
made(tt.arctan, 1, 3)
made(tt.arctan2, 1, 5, 6)
made(tt.sinh, 1, 2)
made(tt.cosh, 1, 2)
made(tt.square, 1, 2)
made(tt.expm1, 1, 2)
made(tt.log1p, 1, 2)
made(tt.log2, 1, 2)
made(tt.log10, 1, 2)

folded(tt.sum, 1, 0)
folded(tt.mean, 1, 1)
folded(tt.var, 4, 4)
folded(tt.std, 4, 4)
folded(tt.prod, 1, 3)
folded(tt.max, 1, 2)
folded(tt.min, 1, 2)
folded(tt.cumsum, 1, 1)
folded(tt.cumprod, 1, 4)
folded(tt.logsumexp, 4, 3)
folded(tt.norm, 2, 2)


# Fused primitives, by the operations of their forward and backward.
made(F.relu, 1, 1)
made(F.leaky_relu, 1, 1)
made(F.sigmoid, 4, 3)
made(F.silu, 5, 9)
made(F.erf, 1, 5)
made(F.keep, 2, 2)
folded(F.softmax, 5, 4)
folded(F.log_softmax, 5, 4)
folded(F.softmax_cross_entropy, 4, 3)
folded(F.layer_norm, 7, 12)
folded(F.rms_norm, 4, 8)
made("softplus", 6, 5)
made("floored_log", 2, 2)
made("rotate", 3, 3)


def _gelu(out: Shaped, x: Shaped, approximate: str = "tanh") -> int:
    return x.size * (8 if approximate == "tanh" else 5)


def _gelu_backward(needs: tuple[bool, ...], out: Shaped, x: Shaped, approximate: str = "tanh") -> int:
    return x.size * (15 if approximate == "tanh" else 11)


flops_of(F.gelu, _gelu_backward, elementwise=True)(_gelu)


def _bias(out: Shaped, x: Shaped, weight: Shaped, bias: Shaped | None) -> int:
    return 0 if bias is None else out.size


def _bias_backward(needs: tuple[bool, ...], out: Shaped, *inputs: Any) -> int:
    return out.size if needs[2] else 0


flops_of(F.linear, _bias_backward, elementwise=True)(_bias)


def _added(needs: tuple[bool, ...], out: Shaped, x: Any, *rest: Any, **params: Any) -> int:
    """Gradients of elements that were read are added up where they came from."""
    return out.size


for reading in (tt.getitem, tt.gather, tt.repeat):
    flops_of(reading, _added, elementwise=True)(lambda out, *inputs, **params: 0)
flops_of(F.embedding, _added, elementwise=True)(lambda out, *inputs, **params: 0)
flops_of(tt.unindex, lambda needs, out, g, **params: 0, elementwise=True)(lambda out, g, **params: g.size)
flops_of(tt.scatter_add, lambda needs, *shapes, **params: 0, elementwise=True)(
    lambda out, x, index, source, **params: source.size
)

for nothing in (
    tt.alias, tt.all, tt.any, tt.argmax, tt.argmin, tt.argsort, tt.argwhere, tt.astype, tt.bitwise_and, tt.bitwise_or,
    tt.bitwise_xor, tt.broadcast_to, tt.concat_parts, tt.copy, tt.equal, tt.flip, tt.greater, tt.greater_equal,
    tt.invert, tt.isfinite, tt.isinf, tt.isnan, tt.less, tt.less_equal, tt.logical_and, tt.logical_not, tt.logical_or,
    tt.logical_xor, tt.median_indices, tt.not_equal, tt.pad, tt.permute, tt.reshape, tt.roll, tt.setitem,
    tt.topk_indices, tt.tril, tt.triu, tt.where, "split_heads", "merge_heads",
):  # fmt: skip
    made(nothing, 0)


def _attention(out: Shaped, q: Shaped, k: Shaped, *rest: Any, **params: Any) -> int:
    """The softmax of the scores."""
    return 4 * pairs(q, k.shape[-2])


def _attention_backward(needs: tuple[bool, ...], out: Shaped, q: Shaped, k: Shaped, *rest: Any, **params: Any) -> int:
    return 4 * pairs(q, k.shape[-2])


def _cached_attention(out: Shaped, q: Shaped, k: Shaped, *rest: Any, cache: Any, **params: Any) -> int:
    return 4 * pairs(q, held(cache, k.shape[-2]))


flops_of("attention", _attention_backward, elementwise=True)(_attention)
flops_of("cached_attention", elementwise=True)(_cached_attention)
