"""The updates of SGD, Adam and AdamW: every number of a parameter, its gradient and state is read and written once."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from tinytorch.optim import SGD, Adam, Optimizer
from tinytorch.tensor import Array

from ..compiling import Compiled, compiled
from ..serving import Unserved, serves_update
from ..team import share
from .served import BLOCK, unserved


@compiled
def adam_numbers(
    p: Array, g: Array, m: Array, v: Array, v_max: Array, amsgrad: bool,
    decay: float, keep: float, beta1: float, beta2: float, eps: float, step_size: float,
) -> None:  # fmt: skip
    """m and v take in g and g²; p <- keep p - step_size m / (sqrt(v) + eps)."""
    real = p.dtype.type
    decay, keep, eps, step_size = real(decay), real(keep), real(eps), real(step_size)
    new1, beta2, new2 = real(1 - beta1), real(beta2), real(1 - beta2)
    for i in range(p.size):
        slope = g[i] + decay * p[i]
        m[i] += new1 * (slope - m[i])
        v[i] = beta2 * v[i] + new2 * (slope * slope)
        most = v[i]
        if amsgrad:
            most = v[i] if not v[i] <= v_max[i] else v_max[i]
            v_max[i] = most
        p[i] = keep * p[i] - step_size * (m[i] / (np.sqrt(most) + eps))


@compiled
def sgd_numbers(p: Array, g: Array, decay: float, lr: float) -> None:
    """p <- p - lr (g + decay p)"""
    decay, lr = p.dtype.type(decay), p.dtype.type(lr)
    for i in range(p.size):
        p[i] -= lr * (g[i] + decay * p[i])


@compiled
def momentum_numbers(
    p: Array, g: Array, velocity: Array, first: bool, nesterov: bool, decay: float, lr: float, momentum: float,
    dampening: float,
) -> None:  # fmt: skip
    """velocity <- momentum velocity + (1 - dampening) g, at first g; p <- p - lr velocity, which looks ahead or not."""
    real = p.dtype.type
    decay, lr, kept, new = real(decay), real(lr), real(momentum), real(1 - dampening)
    if first:
        kept, new = real(0), real(1)
    ahead = real(momentum) if nesterov else real(0)
    for i in range(p.size):
        slope = g[i] + decay * p[i]
        speed = kept * velocity[i] + new * slope if not first else slope
        velocity[i] = speed
        p[i] -= lr * (ahead * speed + slope if nesterov else speed)


def _each(kernel: Compiled, names: list[str], arguments: Any, memory: Any, arrays: Any, gradients: Any) -> None:
    """Call `kernel(p, g, *state, *arguments(step))` for the numbers of every parameter, block by block."""
    parts = []
    for member, p in enumerate(arrays):
        if p is None or not p.size:
            continue
        flat = [p.reshape(-1), gradients[member].reshape(-1)]
        flat += [memory.view(member, name).reshape(-1) for name in names]
        numbers = arguments(memory.steps[member] + 1)
        if p.size <= BLOCK:
            parts.append((*flat, *numbers))
        else:
            for start in range(0, p.size, BLOCK):
                parts.append((*(x[start : start + BLOCK] for x in flat), *numbers))
    if sum(part[0].size for part in parts) <= BLOCK:
        for part in parts:
            kernel(*part)
    else:
        share(lambda number: kernel(*parts[number]), len(parts))


def _refuse(arrays: Any, gradients: Any) -> Unserved | None:
    for p, g in zip(arrays, gradients, strict=True):
        if p is not None and (reason := unserved(p, g)) is not None:
            return reason
    return None


@serves_update(Adam)
def adam(optimizer: Optimizer, group: Any, memory: Any, arrays: Any, gradients: Any) -> Any:
    if (reason := _refuse(arrays, gradients)) is not None:
        return reason
    (beta1, beta2), decay, keep = group["betas"], group["weight_decay"], 1.0
    if optimizer.decoupled:
        decay, keep = 0.0, 1 - group["lr"] * decay
    amsgrad = group["amsgrad"]

    def numbers(step: int) -> tuple[Any, ...]:
        shrink = sqrt(1 - beta2**step)  # the corrections of both averages are numbers
        step_size = group["lr"] * shrink / (1 - beta1**step)
        return amsgrad, decay, keep, beta1, beta2, group["eps"] * shrink, step_size

    _each(adam_numbers, ["m", "v", "v_max" if amsgrad else "v"], numbers, memory, arrays, gradients)
    return None


@serves_update(SGD)
def sgd(optimizer: Optimizer, group: Any, memory: Any, arrays: Any, gradients: Any) -> Any:
    if (reason := _refuse(arrays, gradients)) is not None:
        return reason
    decay, lr, momentum = float(group["weight_decay"]), float(group["lr"]), float(group["momentum"])
    if not momentum:
        _each(sgd_numbers, [], lambda step: (decay, lr), memory, arrays, gradients)
        return None

    def numbers(step: int) -> tuple[Any, ...]:
        return step == 1, bool(group["nesterov"]), decay, lr, momentum, float(group["dampening"])

    _each(momentum_numbers, ["velocity"], numbers, memory, arrays, gradients)
    return None
