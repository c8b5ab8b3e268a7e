"""Primitives that a trace takes apart, or that only move: what they become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinytorch.tensor as tt
from tinytorch.autograd.vjps.reductions import over as over_or_zero
from tinytorch.tensor import Primitive

from .graph import Axis, Refusal
from .tracing import Traced, Tracer

Args = tuple[Any, ...]
Params = dict[str, Any]


def _reduced(x: Traced, params: Params) -> tuple[tuple[Axis, ...], tuple[Axis | None, ...]]:
    """The axes that are reduced, and those of the result."""
    dims = x.value.dims
    axis = params.get("axis")
    chosen = range(len(dims)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    places = {each % len(dims) for each in chosen}
    gone = tuple(dims[place].find() for place in sorted(places) if dims[place] is not None)  # type: ignore[union-attr]
    if params.get("keepdims", False):
        return gone, tuple(None if place in places else axis for place, axis in enumerate(dims))
    return gone, tuple(axis for place, axis in enumerate(dims) if place not in places)


def _reduce(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    """A sum or maximum."""
    example = tracer.example(primitive, args, params)
    gone, dims = _reduced(args[0], params)
    if primitive.name == "max" and args[0].dtype.kind == "b":
        raise Refusal("max of booleans")
    operation = primitive.name if gone else "astype"  # over axes of size 1 there is nothing to add
    return tracer.note(operation, args, dims, example, primitive, params, over=gone)


def _count(tracer: Tracer, x: Traced, params: Params, dtype: Any, correction: int = 0) -> Traced:
    """How many elements are reduced to one, a number of `dtype`."""
    gone, _ = _reduced(x, params)
    example = np.ones((), dtype)
    return tracer.note("count", (), (), example, over=gone, params={"correction": correction})


def _mean(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    (x,) = args
    dtype = tracer.example(primitive, args, params).dtype
    total = tracer.apply(tt.sum, (x if x.dtype.kind == "f" else x.astype(dtype),), params)
    return total / _count(tracer, x, params, dtype)


def _var(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    (x,) = args
    params, correction = {**params}, params.get("correction", 0)
    params.pop("correction", None)
    apart = x - tt.mean(x, **{**params, "keepdims": True})
    total = tracer.apply(tt.sum, (apart * apart,), params)
    return total / _count(tracer, x, params, total.dtype, correction)


def _root(tracer: Tracer, x: Traced) -> Traced:
    """The square root whose slope is 0 at 0."""
    return tracer.note("sqrt", (x,), x.value.dims, x._data, tt.sqrt, rule=lambda g, out, x: over_or_zero(g * 0.5, out))


def _std(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    return _root(tracer, _var(tracer, primitive, args, params))


def _norm(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    (x,) = args
    params, order = {**params}, params.get("ord", 2)
    params.pop("ord", None)
    if order == 2:
        return _root(tracer, tracer.apply(tt.sum, (x * x,), params))
    if order == 1:
        return tracer.apply(tt.sum, (tt.abs(x),), params)
    raise Refusal(f"norm with ord={order}")


def _min(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    (x,) = args
    if x.dtype.kind != "f":
        raise Refusal(f"min of {x.dtype}")
    largest = tracer.apply(tt.max, (-x,), params)
    return tracer.note("negative", (largest,), largest.value.dims, largest._data, tt.min, params, ruled=(x.value,))


def _logsumexp(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    (x,) = args
    kept = {"axis": params.get("axis"), "keepdims": True}
    largest = tt.max(x.detach(), **kept)
    shift = tt.where(tt.isfinite(largest), largest, 0.0)
    out = tt.log(tt.sum(tt.exp(x - shift), **kept)) + shift
    example = tracer.example(primitive, args, params)
    return tracer.note("same", (out,), _reduced(x, params)[1], example, primitive, params, ruled=(x.value,))


def _sigmoid(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    example = tracer.example(primitive, args, params)
    rule = lambda g, out, x: g * (out * (1 - out))  # noqa: E731
    return tracer.note("sigmoid", args, args[0].value.dims, example, primitive, rule=rule)


def _silu(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    return args[0] * _sigmoid(tracer, primitive, args, params)


def _same(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    """The same numbers; the shape may gain or lose axes of size 1."""
    (x,) = args
    example = tracer.example(primitive, args, params)
    old, new = ([size for size in shape if size != 1] for shape in (x._data.shape, example.shape))
    if old != new and not tracer.in_rule:
        raise Refusal(f"{primitive.name} moves or repeats elements; only axes of size 1 can be added and dropped")
    axes = iter(axis for axis, size in zip(x.value.dims, x._data.shape, strict=True) if size != 1)
    dims = tuple(None if size == 1 else next(axes, None) for size in example.shape)
    return tracer.note("same", args, dims, example, primitive, params)


def _any(tracer: Tracer, primitive: Primitive, args: Args, params: Params) -> Traced:
    """Only ever asked for its truth, by rules."""
    if not tracer.in_rule:
        raise Refusal("any is neither elementwise nor a sum, mean or maximum")
    example = tracer.example(primitive, args, params)
    return tracer.note("any", args, _reduced(args[0], params)[1], example, primitive, params)


REWRITTEN: dict[str, Callable[..., Traced]] = {
    "sum": _reduce, "max": _reduce, "min": _min, "mean": _mean, "var": _var, "std": _std, "norm": _norm,
    "logsumexp": _logsumexp, "sigmoid": _sigmoid, "silu": _silu,
    "reshape": _same, "broadcast_to": _same, "alias": _same, "copy": _same, "any": _any,
}  # fmt: skip
