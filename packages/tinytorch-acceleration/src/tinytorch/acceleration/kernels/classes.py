"""Softmax along the last axis, and the cross-entropy of logits with integer targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import functional as F
from tinytorch.layers.functional.cross_entropy import Saved, softmax_cross_entropy
from tinytorch.layers.functional.targets import read_targets
from tinytorch.tensor import Array

from ..compiling import compiled
from ..serving import Unserved, serves, serves_gradient
from .elementary import exp, largest
from .served import rows_of, rows_per_block, unserved


@compiled(reassociate=True)
def exponentiate(row: Array, scale: float, top: float, out: Array) -> float:
    """Write exp(scale row - top) to `out`; their sum."""
    total = row.dtype.type(0)
    for j in range(row.size):
        e = exp(scale * row[j] - top)
        out[j] = e
        total += e
    return total


@compiled
def softmax_rows(start: int, stop: int, x: Array, out: Array) -> None:
    """exp(x) / sum(exp(x)) of each row: (n, D)"""
    one = x.dtype.type(1)
    for i in range(start, stop):
        result = out[i]
        share = one / exponentiate(x[i], one, largest(x[i]), result)
        for j in range(result.size):
            result[j] *= share


@compiled(reassociate=True)
def softmax_slopes(start: int, stop: int, g: Array, out: Array, dx: Array) -> None:
    """out (g - sum(g out)) of each row: (n, D)"""
    for i in range(start, stop):
        slope, p, result = g[i], out[i], dx[i]
        inner = p.dtype.type(0)
        for j in range(p.size):
            inner += slope[j] * p[j]
        for j in range(p.size):
            result[j] = p[j] * (slope[j] - inner)


@compiled
def cross_entropy_rows(
    start: int, stop: int, x: Array, target: Array, exponentials: Array, sums: Array, losses: Array
) -> None:
    """log(sum(exp(x))) - x[target] of each row: (n, C), (n,) -> (n,)."""
    one = x.dtype.type(1)
    for i in range(start, stop):
        top = largest(x[i])
        sums[i] = exponentiate(x[i], one, top, exponentials[i])
        losses[i] = np.log(sums[i]) + (top - x[i, target[i]])


@compiled
def cross_entropy_slopes(
    start: int, stop: int, exponentials: Array, sums: Array, on_target: Array, target: Array, dx: Array
) -> None:
    """on_target (exponentials / sums - onehot(target)) of each row: (n, C). A row that counts nothing gives 0."""
    zero = dx.dtype.type(0)
    for i in range(start, stop):
        e, result, share = exponentials[i], dx[i], on_target[i] / sums[i]
        if on_target[i] == zero:
            result[:] = zero
        else:
            for j in range(e.size):
                result[j] = e[j] * share
            result[target[i]] -= on_target[i]


@serves(F.softmax)
def softmax(x: Any, axis: int = -1) -> Any:
    if (reason := unserved(x)) is not None:
        return reason
    if x.ndim == 0 or axis not in (-1, x.ndim - 1) or not x.size:
        return Unserved(f"axis {axis} of shape {x.shape}")
    out = np.empty(x.shape, x.dtype)
    softmax_rows.over(x.size // x.shape[-1], rows_per_block(x.shape[-1]), rows_of(x), rows_of(out))
    return out, None


@serves_gradient(F.softmax)
def softmax_backward(g: Array, out: Array, saved: None, needs: Any, x: Any, axis: int = -1) -> Any:
    if (reason := unserved(g, out)) is not None:
        return reason
    if out.ndim == 0 or axis not in (-1, out.ndim - 1) or not out.size:
        return Unserved(f"axis {axis} of shape {out.shape}")
    dx = np.empty(out.shape, out.dtype)
    softmax_slopes.over(out.size // out.shape[-1], rows_per_block(out.shape[-1]), rows_of(g), rows_of(out), rows_of(dx))
    return (dx,)


@serves(softmax_cross_entropy)
def cross_entropy(
    logits: Any, targets: Any, ignore_index: int, label_smoothing: float, weight: Any, reduction: str
) -> Any:
    if (reason := unserved(logits)) is not None:
        return reason
    if label_smoothing or weight is not None:
        return Unserved("label smoothing or weights")
    targets = np.asarray(targets)
    if not logits.size or targets.dtype.kind != "i":
        return Unserved(f"logits of shape {logits.shape}, targets of dtype {targets.dtype}")
    found = read_targets("cross_entropy", logits, targets, ignore_index, None)
    x = rows_of(logits)
    exponentials, (sums, losses) = np.empty(x.shape, x.dtype), np.empty((2, len(x)), x.dtype)
    cross_entropy_rows.over(
        len(x), rows_per_block(x.shape[1]), x, np.ascontiguousarray(found.target), exponentials, sums, losses
    )
    if found.valid is not None:
        losses[~found.valid] = 0  # also where the logits of an ignored row are infinite
    divisor = found.total_weight if reduction == "mean" else 1.0
    saved = Saved(found, exponentials, sums, divisor)
    if reduction == "none":
        return losses.reshape(logits.shape[:-1]), saved
    return np.add.reduce(losses) * (1 / divisor if divisor else np.nan), saved


@serves_gradient(softmax_cross_entropy)
def cross_entropy_backward(
    g: Array, out: Array, saved: Saved, needs: Any, logits: Any, targets: Any,
    ignore_index: int, label_smoothing: float, weight: Any, reduction: str,
) -> Any:  # fmt: skip
    found, exponentials, sums, divisor = saved
    if (reason := unserved(exponentials, sums)) is not None:
        return reason
    if label_smoothing or weight is not None or g.dtype != sums.dtype:
        return Unserved("label smoothing, weights or another dtype")
    scale = g.reshape(-1) * (1 / divisor if divisor else 0.0)  # (n,) or (1,)
    on_target = np.ascontiguousarray(
        np.broadcast_to(scale if found.weight is None else found.weight * scale, len(sums))
    )
    target, dlogits = np.ascontiguousarray(found.target), np.empty(logits.shape, sums.dtype)
    cross_entropy_slopes.over(
        len(sums), rows_per_block(exponentials.shape[1]), exponentials, sums, on_target, target, rows_of(dlogits)
    )
    return dlogits, None
