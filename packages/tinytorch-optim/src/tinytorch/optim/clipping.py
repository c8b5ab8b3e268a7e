"""Gradients kept within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite

import numpy as np

from tinytorch.tensor import Array, Tensor, note_write


def clip_grad_norm(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients, in place, so that their norm as one long vector is at most `max_norm`; return the old norm.

    Parameters without a gradient are skipped. With `error_if_nonfinite` a norm that is NaN or infinite raises
    FloatingPointError and changes nothing. Raises ValueError when there are no parameters, as in a used-up iterator.

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks" (2013), algorithm 1, with the
    1e-6 that PyTorch adds to the norm.

    >>> from tinytorch.layers import Parameter
    >>> p = Parameter([3.0, 4.0]); p.grad = Tensor([3.0, 4.0])
    >>> clip_grad_norm([p], max_norm=1.0), p.grad
    (5.0, Tensor([0.6, 0.8]))
    """
    if not max_norm >= 0 or not norm_type > 0:
        raise ValueError(f"clip_grad_norm: max_norm={max_norm}, norm_type={norm_type}; give at least 0, and above 0")
    gradients = _gradients("clip_grad_norm", parameters)
    with np.errstate(over="ignore", invalid="ignore"):  # a square that overflows is computed again, in float64
        norm = _norm([_norm_of(g, norm_type) for g in gradients], norm_type)
        if error_if_nonfinite and not isfinite(norm):
            raise FloatingPointError(f"clip_grad_norm: the norm of the gradients is {norm}; they were not changed")
        scale = max_norm / (norm + 1e-6)
        if not scale >= 1:  # infinite gradients become NaN, and a norm of NaN makes all of them NaN, as in PyTorch
            for g in gradients:
                np.multiply(g, scale, out=g, casting="same_kind")
                note_write(g)
    return norm


def clip_grad_value(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limit every number of every gradient, in place, to -clip_value … clip_value.

    >>> from tinytorch.layers import Parameter
    >>> p = Parameter([3.0, 4.0]); p.grad = Tensor([-3.0, 0.5])
    >>> clip_grad_value([p], 1.0); p.grad
    Tensor([-1. ,  0.5])
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value: clip_value={clip_value}; it must be at least 0")
    for g in _gradients("clip_grad_value", parameters):
        np.clip(g, -clip_value, clip_value, out=g)
        note_write(g)


def _gradients(function: str, parameters: Iterable[Tensor] | Tensor) -> list[Array]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not tensors:
        raise ValueError(f"{function}: no parameters; give a list, because an iterator can be read only once")
    for p in tensors:
        if not isinstance(p, Tensor):
            raise TypeError(f"{function}: got a {type(p).__name__}; parameters are tensors")
    return [p.grad.data for p in tensors if p.grad is not None]


def _norm_of(g: Array, order: float) -> float:
    flat = g.reshape(-1)
    if not flat.size:
        return 0.0
    if order == inf:
        return float(np.abs(flat).max())
    if order == 2 and flat.dtype.itemsize >= 4:
        square = float(np.dot(flat, flat))
        if isfinite(square):
            return float(np.sqrt(square))
    return _norm(flat, order)  # in float64, where the squares of the largest float32 have room


def _norm(values: Array | list[float], order: float) -> float:
    powers = np.abs(np.asarray(values, dtype=np.float64))
    if order == inf:
        return float(powers.max(initial=0.0))
    return float(np.sum(powers**order) ** (1 / order))
