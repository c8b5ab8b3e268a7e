"""x @ weight + bias: the layer that holds most of the weights and does most of the work."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinytorch.autograd import defvjp
from tinytorch.tensor import Array, Tensor, primitive

from .sums import sum_of_rows


def _explain(error: Exception, x: Array, weight: Array, bias: Array | None) -> Exception | None:
    if np.ndim(weight) != 2:
        return ValueError(f"linear: weight of shape {np.shape(weight)}; it must be (in_features, out_features)")
    if np.ndim(x) == 0 or x.shape[-1] != weight.shape[0]:
        return ValueError(
            f"linear: x of shape {np.shape(x)} for {weight.shape[0]} input features; "
            "the last axis must have that size: reshape x, or change in_features"
        )
    if bias is not None and np.shape(bias) != weight.shape[1:]:
        return ValueError(
            f"linear: bias of shape {np.shape(bias)} for weight {weight.shape}; it must be (out_features,)"
        )
    return None


def _linear_rows(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, None]:
    _, m = weight.shape
    out = x.dot(weight)  # (n, in) -> (n, out); it compares the other sizes
    if bias is not None:
        if bias.shape != (m,):
            raise ValueError  # explained by what the primitive was declared with
        if out.dtype is not bias.dtype:
            out = out + bias
        elif len(out) == 1:  # a token that is generated: vectors of one shape are added in half the time
            row = out[0]
            row += bias
        else:
            out += bias
    return out, None


@primitive(fused=True, explain=_explain, rows=_linear_rows)
def linear(x: Array, weight: Array, bias: Array | None = None, /) -> tuple[Array, None]:
    """x @ weight + bias: (..., in) @ (in, out) + (out,) -> (..., out).

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[1.0], [10.0]]), Tensor([100.0]))
    Tensor([[121.]])
    """
    if type(x) is not np.ndarray:
        x = np.asarray(x)  # a Python number arrives as it is
    if x.ndim == 2:
        return _linear_rows(x, weight, bias)
    n, m = weight.shape
    if x.ndim == 0 or x.shape[-1] != n:
        raise ValueError
    rows = x.reshape(prod(x.shape[:-1]), n)  # one product, not one per matrix of a stack
    return _linear_rows(rows, weight, bias)[0].reshape(*x.shape[:-1], m), None


def _backward(
    g: Array, out: Array, saved: None, needs: tuple[bool, ...], x: Array, weight: Array, bias: Array | None
) -> tuple[Array | None, ...]:
    n, m = weight.shape
    count = len(g) if g.ndim == 2 else prod(g.shape[:-1])
    rows = g.reshape(count, m)
    dx = dweight = dbias = None
    if needs[0] and weight.dtype == g.dtype:
        dx = np.empty(x.shape, g.dtype)
        rows.dot(weight.T, out=dx.reshape(count, n))
    elif needs[0]:
        dx = rows.dot(weight.T).reshape(x.shape)
    if needs[1]:
        dweight = x.reshape(count, n).T.dot(rows)
    if needs[2]:
        dbias = sum_of_rows(rows)
    return dx, dweight, dbias


def _by_parts(x: Any, weight: Any, bias: Any = None) -> Tensor:
    product = np.matmul(x, weight)
    return product if bias is None else product + bias


defvjp(linear, fused=_backward, composition=_by_parts, keep=("inputs",))
