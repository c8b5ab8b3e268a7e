"""What happens to logits before a token is drawn; one at minus infinity never is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinytorch.layers.checks import probability, real
from tinytorch.tensor import Array, check_int

__all__ = ["Processor", "min_p", "repetition_penalty", "softmax", "temperature", "top_k", "top_p"]

Processor = Callable[[Array, Array], Array]
"""(tokens so far (B, T) int64, logits (B, V) of the next) -> logits (B, V), as new arrays; `generate` takes a list."""


def temperature(value: float) -> Processor:
    """Divide by `value`: below 1 likely tokens become likelier, above 1 probabilities become more equal.

    >>> temperature(2.0)(np.array([[0]]), np.array([[2.0, 4.0]]))
    array([[1., 2.]])
    """
    if not 0 < real("temperature", "value", value) < np.inf:
        raise ValueError(f"temperature: {value}; it must be above 0 (generate takes 0 for the likeliest token)")
    return lambda ids, logits: logits / value


def top_k(k: int) -> Processor:
    """Keep the `k` likeliest tokens, and those that are as likely as the last of these.

    Source: Fan et al. 2018, Hierarchical Neural Story Generation.

    >>> top_k(1)(np.array([[0]]), np.array([[2.0, 4.0]]))
    array([[-inf,   4.]])
    """
    check_int("top_k", "k", k, minimum=1)

    def keep(ids: Array, logits: Array) -> Array:
        if k >= logits.shape[-1]:
            return logits
        last = np.partition(logits, -k, axis=-1)[:, -k, None]
        return np.where(logits < last, -np.inf, logits)

    return keep


def top_p(p: float) -> Processor:
    """Keep the fewest of the likeliest tokens that together reach probability `p`, at least one; all when `p` is 1.

    Source: Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, section 3.1.

    >>> top_p(0.5)(np.array([[0]]), np.array([[2.0, 4.0]]))
    array([[-inf,   4.]])
    """
    probability("top_p", p)

    def keep(ids: Array, logits: Array) -> Array:
        if p == 1:  # rounded sums would reach it before the last token
            return logits
        order = np.argsort(-logits, axis=-1, kind="stable")
        probabilities = np.take_along_axis(softmax(logits), order, axis=-1)
        beyond = np.cumsum(probabilities, axis=-1) - probabilities >= p
        beyond[:, 0] = False
        dropped = np.empty(logits.shape, bool)
        np.put_along_axis(dropped, order, beyond, axis=-1)
        return np.where(dropped, -np.inf, logits)

    return keep


def min_p(p: float) -> Processor:
    """Keep the tokens that are at least `p` times as likely as the likeliest.

    Source: Nguyen et al. 2024, Turning Up the Heat: Min-p Sampling.

    >>> min_p(0.5)(np.array([[0]]), np.array([[2.0, 4.0]]))
    array([[-inf,   4.]])
    """
    probability("min_p", p)

    def keep(ids: Array, logits: Array) -> Array:
        if p == 0:
            return logits
        return np.where(logits < logits.max(axis=-1, keepdims=True) + np.log(p), -np.inf, logits)

    return keep


def repetition_penalty(penalty: float) -> Processor:
    """Divide the positive logits of tokens that occurred before by `penalty`, and multiply the negative ones.

    Source: Keskar et al. 2019, CTRL, section 4.1.

    >>> repetition_penalty(2.0)(np.array([[0]]), np.array([[4.0, 4.0]]))
    array([[2., 4.]])
    """
    if not 0 < real("repetition_penalty", "penalty", penalty) < np.inf:
        raise ValueError(f"repetition_penalty: {penalty}; it must be above 0, and is usually a little above 1")

    def punish(ids: Array, logits: Array) -> Array:
        rows = np.arange(len(ids))[:, None]
        seen = logits[rows, ids]
        changed = logits.copy()
        changed[rows, ids] = np.where(seen < 0, seen * penalty, seen / penalty)
        return changed

    return punish


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis, in float64; NaN in a row without a finite logit.

    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    with np.errstate(invalid="ignore"):
        shifted = np.subtract(logits, logits.max(axis=-1, keepdims=True), dtype=np.float64)
        exponentials = np.exp(shifted, out=shifted)
        exponentials /= exponentials.sum(axis=-1, keepdims=True)
    return exponentials
