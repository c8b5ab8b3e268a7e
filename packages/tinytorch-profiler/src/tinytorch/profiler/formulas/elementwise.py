"""Everything but products: how many operations each element takes, forward and backward."""

from __future__ import annotations

from typing import Any

import tinytorch.tensor as tt
from tinytorch.layers import functional as F
from tinytorch.tensor import Primitive

from ..flops import Formula, flops_of
from ..shaped import Shaped
from .products import pairs

PER_OUTPUT: dict[tuple[int, ...], tuple[Primitive | str, ...]] = {
    (0,): (
        tt.alias, tt.all, tt.any, tt.argmax, tt.argmin, tt.argsort, tt.argwhere, tt.astype, tt.bitwise_and,
        tt.bitwise_or, tt.bitwise_xor, tt.broadcast_to, tt.concatenate, tt.copy, tt.equal, tt.flip, tt.greater,
        tt.greater_equal, tt.invert, tt.isfinite, tt.isinf, tt.isnan, tt.less, tt.less_equal, tt.logical_and,
        tt.logical_not, tt.logical_or, tt.logical_xor, tt.argmedian, tt.not_equal, tt.pad, tt.permute, tt.reshape,
        tt.roll, tt.setitem, tt.argtopk, tt.tril, tt.triu, tt.where, "split_heads", "merge_heads",
    ),
    (1, 0): (tt.sign, tt.floor, tt.ceil, tt.round),
    (1, 1): (tt.negative, tt.exp, tt.log, F.relu, F.leaky_relu),
    (1, 2): (
        tt.abs, tt.sqrt, tt.sin, tt.sinh, tt.cosh, tt.square, tt.expm1, tt.log1p, tt.log2, tt.log10,
    ),
    (1, 3): (tt.tanh, tt.cos, tt.tan, tt.arctan),
    (1, 5): (tt.arcsin, F.erf),
    (1, 6): (tt.arccos,),
    (2, 0): (tt.clip,),
    (6, 3): ("fake_quantize",),
    (2, 2): (F.keep, "floored_log"),
    (3, 3): ("rotate",),
    (4, 3): (F.sigmoid,),
    (5, 9): (F.silu,),
    (6, 5): ("softplus",),
    (1, 0, 0): (tt.add, tt.floor_divide),
    (1, 0, 1): (tt.subtract,),
    (1, 0, 3): (tt.remainder,),
    (1, 1, 1): (tt.multiply, tt.maximum, tt.minimum),
    (1, 1, 3): (tt.divide,),
    (1, 3, 3): (tt.power,),
    (1, 5, 6): (tt.arctan2,),
}  # fmt: skip
"""Operations per element of the result: of the forward, then of the gradient of each input."""

PER_INPUT: dict[tuple[int, int], tuple[Primitive, ...]] = {
    (1, 0): (tt.sum,),
    (1, 1): (tt.mean, tt.cumsum),
    (1, 2): (tt.max, tt.min),
    (1, 3): (tt.prod,),
    (1, 4): (tt.cumprod,),
    (2, 2): (tt.norm,),
    (4, 3): (tt.logsumexp, F.softmax_cross_entropy),
    (4, 4): (tt.var, tt.std),
    (4, 8): (F.rms_norm,),
    (5, 4): (F.softmax, F.log_softmax),
    (7, 12): (F.layer_norm,),
}
"""Operations per element of the first input: of the forward, then of its gradient."""


def count_per_output(primitive: Primitive | str, forward: int, *backward: int) -> None:
    def of_gradients(needs: tuple[bool, ...], out: Shaped, *inputs: Any, **params: Any) -> int:
        return out.size * sum(n for n, needed in zip(backward, needs, strict=False) if needed)

    flops_of(primitive, of_gradients, elementwise=True)(lambda out, *inputs, **params: forward * out.size)


def count_per_input(primitive: Primitive, forward: int, backward: int) -> None:
    flops_of(primitive, lambda needs, out, x, *rest, **params: backward * x.size, elementwise=True)(
        lambda out, x, *rest, **params: forward * x.size
    )


for costs, primitives in PER_OUTPUT.items():
    for each in primitives:
        count_per_output(each, *costs)
for (forward, backward), reductions in PER_INPUT.items():
    for reduction in reductions:
        count_per_input(reduction, forward, backward)


def _gelu(tanh: int, erf: int) -> Formula:
    return lambda out, x, approximate="tanh": x.size * (tanh if approximate == "tanh" else erf)


flops_of(F.gelu, lambda needs, *rest, **params: _gelu(15, 11)(*rest, **params), elementwise=True)(_gelu(8, 5))


def _bias(out: Shaped, x: Shaped, weight: Shaped, bias: Shaped | None = None, **params: Any) -> int:
    """Added to each element of the result of a linear layer or a convolution."""
    return 0 if bias is None else out.size


def _bias_backward(needs: tuple[bool, ...], out: Shaped, *inputs: Any, **params: Any) -> int:
    return out.size if len(needs) > 2 and needs[2] else 0


for biased in (F.linear, "conv2d"):
    flops_of(biased, _bias_backward, elementwise=True)(_bias)


def _numbers_of_codes(out: Shaped, x: Shaped, weight: Shaped, scale: Shaped, *rest: Shaped | None) -> int:
    """Each code times its scale, and the bias."""
    return scale.shape[0] * x.shape[-1] + (out.size if len(rest) > 1 and rest[1] is not None else 0)


def _numbers_backward(needs: tuple[bool, ...], out: Shaped, x: Shaped, weight: Shaped, *rest: Shaped | None) -> int:
    scale = rest[0]
    numbers = scale.shape[0] * x.shape[-1] if needs[0] and scale is not None else 0
    return numbers + (out.size if len(needs) > 4 and needs[4] else 0)


flops_of("quantized_linear", _numbers_backward, elementwise=True)(_numbers_of_codes)


def _integers(out: Shaped, x: Shaped, *rest: Any, **params: Any) -> int:
    """Inputs are divided, rounded and cut; sums are multiplied by two scales; and the bias."""
    return 4 * x.size + 2 * out.size + (out.size if rest[2] is not None else 0)


def _integers_backward(needs: tuple[bool, ...], out: Shaped, *rest: Any, **params: Any) -> int:
    return out.size if len(needs) > 3 and needs[3] else 0


for each_of in ("integer_linear", "integer_conv2d"):
    flops_of(each_of, _integers_backward, elementwise=True)(_integers)
flops_of("quantized_embedding", elementwise=True)(lambda out, *rest, **params: out.size)


for reading in (tt.getitem, tt.gather, tt.repeat, F.embedding):  # backward adds the gradients up where they came from
    flops_of(reading, lambda needs, out, *rest, **params: out.size, elementwise=True)(lambda out, *rest, **params: 0)
flops_of(tt.index_grad, lambda needs, out, g, **params: 0, elementwise=True)(lambda out, g, **params: g.size)
flops_of(tt.scatter_add, lambda needs, *shapes, **params: 0, elementwise=True)(
    lambda out, x, index, source, **params: source.size
)


def _softmax_of_scores(out: Shaped, q: Shaped, k: Shaped, *rest: Any, **params: Any) -> int:
    return 4 * pairs(q, k, **params)


flops_of("attention", lambda needs, out, q, k, *rest, **params: 4 * pairs(q, k), elementwise=True)(_softmax_of_scores)
flops_of("cached_attention", elementwise=True)(_softmax_of_scores)
