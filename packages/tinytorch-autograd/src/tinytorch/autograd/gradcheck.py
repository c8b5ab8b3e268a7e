"""Comparing gradients with finite differences."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor, handlers

from .gradients import grad
from .modes import enable_grad
from .recording import recorder

Function = Callable[..., Any]


def gradcheck(
    function: Function, inputs: Tensor | Sequence[Any], eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3
) -> bool:
    """Whether the gradients of `function(*inputs)` equal central finite differences, in float64.

    `inputs` that require gradients must be float64, and so must the outputs, because the difference loses half the
    digits. Every element of every floating-point output is differentiated with respect to every element of every such
    input. Returns True. Raises AssertionError with the element that differs, and ValueError when there is nothing to
    compare or when two calls of `function` differ.

    Source: (f(x + eps) - f(x - eps)) / (2 eps) has an error of order eps squared.

    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> x = Tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    >>> gradcheck(lambda x: (x * x).sum(), x)
    True
    """
    tensors, places = _check_inputs("gradcheck", inputs)
    compute = functools.partial(_outputs, "gradcheck", function)
    with enable_grad():
        outputs = compute(tensors)
        _check_outputs(outputs, compute(tensors))
        for number, out in enumerate(outputs):
            if out.dtype.kind == "f":
                for place, analytic in zip(places, _jacobians(out, [tensors[p] for p in places]), strict=True):
                    numeric = _differences(compute, tensors, place, number, eps)
                    _compare(analytic, numeric, number, place, atol, rtol)
    return True


def gradgradcheck(
    function: Function,
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    generator: np.random.Generator | None = None,
) -> bool:
    """Whether second derivatives of `function(*inputs)` equal finite differences of the first, in float64.

    The first derivatives are taken in a random direction, drawn from `generator`. Its own gradient is checked too.

    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> x = Tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    >>> gradgradcheck(lambda x: (x * x * x).sum(), x)
    True
    """
    tensors, places = _check_inputs("gradgradcheck", inputs)
    generator = generator or np.random.default_rng(0)
    with enable_grad():
        outs = [out for out in _outputs("gradgradcheck", function, tensors) if out.requires_grad]
    if not outs:
        raise ValueError("gradgradcheck: no output requires gradients; nothing was recorded that can be differentiated")
    directions = [Tensor(generator.standard_normal(out.shape), "float64", requires_grad=True) for out in outs]

    def first(*all_inputs: Any) -> tuple[Tensor, ...]:
        inner, weights = all_inputs[: len(tensors)], all_inputs[len(tensors) :]
        results = [out for out in _outputs("gradgradcheck", function, list(inner)) if out.requires_grad]
        found = grad(results, [inner[p] for p in places], list(weights), create_graph=True, allow_unused=True)
        return tuple(gradient for gradient in found if gradient is not None)

    return gradcheck(first, [*tensors, *directions], eps, atol, rtol)


def _check_inputs(name: str, inputs: Tensor | Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The inputs, and the places of those that require gradients."""
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    places = [place for place, x in enumerate(tensors) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        raise ValueError(f"{name}: no input requires gradients; set requires_grad=True on one")
    for place in places:
        x = tensors[place]
        if x.dtype != np.float64:
            raise ValueError(f"{name}: input {place} is {x.dtype}; finite differences need dtype=float64")
        if any(x is tensors[earlier] for earlier in places if earlier < place):
            raise ValueError(
                f"{name}: input {place} was given twice, and only one of them is moved; "
                "give Tensor(x, requires_grad=True) for the other"
            )
    if recorder not in handlers():
        raise RuntimeError(f"{name}: nothing is recorded; call enable_autograd() first")
    return tensors, places


def _outputs(name: str, function: Function, tensors: list[Any]) -> list[Tensor]:
    result = function(*tensors)
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    for out in outputs:
        if not isinstance(out, Tensor):
            raise TypeError(f"{name}: the function returned a {type(out).__name__}; it returns a tensor, or several")
    return outputs


def _check_outputs(outputs: list[Tensor], again: list[Tensor]) -> None:
    """Refuse outputs that finite differences say nothing about. Raises ValueError."""
    if not any(out.dtype.kind == "f" for out in outputs):
        dtypes = ", ".join(str(out.dtype) for out in outputs)
        raise ValueError(f"gradcheck: the outputs are {dtypes or 'none'}; only floating-point ones have gradients")
    for number, (out, other) in enumerate(zip(outputs, again, strict=True)):
        if out.dtype.kind == "f" and out.dtype != np.float64:
            raise ValueError(f"gradcheck: output {number} is {out.dtype}; finite differences need float64 throughout")
        if out.shape != other.shape or not np.allclose(out.data, other.data, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise ValueError(
                f"gradcheck: output {number} differs between two calls with the same inputs; "
                "make its randomness the same each time, with a new generator of one seed in the function"
            )


def _jacobians(out: Tensor, inputs: list[Tensor]) -> list[Array]:
    """The Jacobian of `out` for each input: (out.size, input.size)."""
    jacobians = [np.zeros((out.size, x.size)) for x in inputs]
    if not out.requires_grad:
        return jacobians
    for element in range(out.size):
        seed = np.zeros(out.size)
        seed[element] = 1.0
        found = grad(out, inputs, Tensor(seed.reshape(out.shape), out.dtype), retain_graph=True, allow_unused=True)
        for jacobian, gradient in zip(jacobians, found, strict=True):
            if gradient is not None:
                jacobian[element] = gradient.data.reshape(-1)
    return jacobians


def _differences(
    compute: Callable[[list[Any]], list[Tensor]], tensors: list[Any], place: int, number: int, eps: float
) -> Array:
    """The Jacobian of output `number` for input `place`, by central differences: (out.size, input.size)."""
    jacobian = np.zeros((compute(tensors)[number].size, tensors[place].size))
    for element in range(tensors[place].size):
        for step in (eps, -eps):
            moved = tensors[place].data.copy()
            moved.reshape(-1)[element] += step
            shifted = Tensor(moved, np.float64, requires_grad=True)
            out = compute([*tensors[:place], shifted, *tensors[place + 1 :]])[number]
            jacobian[:, element] += np.sign(step) * out.data.reshape(-1)
    return jacobian / (2 * eps)


def _compare(analytic: Array, numeric: Array, number: int, place: int, atol: float, rtol: float) -> None:
    close = np.isclose(analytic, numeric, atol=atol, rtol=rtol, equal_nan=True)
    if not close.all():
        row, column = np.argwhere(~close)[0]
        raise AssertionError(
            f"gradcheck: d output {number}[{row}] / d input {place}[{column}] (flat indices) is "
            f"{analytic[row, column]:.8g} by the rule and {numeric[row, column]:.8g} by finite differences; "
            f"{int((~close).sum())} of {close.size} elements differ"
        )
