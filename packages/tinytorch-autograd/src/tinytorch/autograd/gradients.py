"""`backward` and `grad`: what they are given is checked, and a backward pass is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinytorch.tensor import ShapeError, Tensor
from tinytorch.tensor.tensor import wrap

from .engine import Arrays, Pass, Tensors
from .errors import GraphError
from .recording import origin


def backward(tensor: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add to `.grad` of every leaf the gradient of `tensor` with respect to it.

    `gradient`, of the tensor's shape, is the gradient of the final result with respect to this tensor; it may be left
    out for a single element, where it is 1. `retain_graph` keeps what was recorded for another backward pass;
    `create_graph` records the backward pass itself, so that the gradients can be differentiated.

    Raises GraphError when nothing was recorded, when what was recorded has been freed, or when an array that is
    needed was changed in place meanwhile.

    >>> from tinytorch.autograd import enable_autograd
    >>> enable_autograd()
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4.])
    """
    if not tensor.requires_grad:
        raise GraphError(
            "backward: this tensor was not made from tensors that require gradients; "
            "set requires_grad=True on an input, and compute outside no_grad()"
        )
    kind = Tensors if create_graph else Arrays
    Pass(kind, [(tensor, _seed("backward", tensor, gradient))], None, retain_graph or create_graph).run()


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """The gradients of the sum of `outputs`, weighted by `grad_outputs`, with respect to `inputs`; `.grad` stays.

    One tensor for one input, a tuple for a sequence of them. With `create_graph` they can be differentiated again.
    An input that the outputs do not depend on is an error, or None with `allow_unused`.

    >>> from tinytorch.autograd import enable_autograd
    >>> enable_autograd()
    >>> x = Tensor(3.0, requires_grad=True)
    >>> slope = grad(x * x, x, create_graph=True)
    >>> grad(slope, x)
    Tensor(2.)
    """
    outs = _tensors("output", outputs)
    ins = _tensors("input", inputs)
    seeds = list(grad_outputs) if isinstance(grad_outputs, list | tuple) else [grad_outputs]
    if grad_outputs is None:
        seeds = [None] * len(outs)
    if len(seeds) != len(outs):
        raise ValueError(f"grad: {len(outs)} outputs and {len(seeds)} grad_outputs; give one for each")
    roots = [(out, _seed("grad", out, seed)) for out, seed in zip(outs, seeds, strict=True)]
    retain_graph = create_graph if retain_graph is None else retain_graph
    found = Pass(Tensors if create_graph else Arrays, roots, {origin(x) for x in ins}, retain_graph).run()
    gradients: list[Tensor | None] = []
    for place, tensor in enumerate(ins):
        gradient = found.get(origin(tensor))
        if gradient is None and not allow_unused:
            raise GraphError(
                f"grad: the outputs do not depend on input {place}; leave it out, or pass allow_unused=True"
            )
        asked_before = any(tensor is other for other in ins[:place])
        gradients.append(gradient.copy() if gradient is not None and asked_before else gradient)
    return gradients[0] if isinstance(inputs, Tensor) else tuple(gradients)


def _tensors(name: str, given: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The tensors to differentiate, or with respect to which, when they can be."""
    tensors: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, Tensor) else [given]
    for place, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"grad: {name} {place} is a {type(tensor).__name__}; it must be a tensor")
        if not tensor.requires_grad:
            raise GraphError(
                f"grad: {name} {place} does not require gradients; set requires_grad=True before computing"
            )
    return tensors


def _seed(name: str, tensor: Tensor, gradient: Any) -> Tensor:
    if tensor.dtype.kind != "f":
        raise GraphError(
            f"{name}: this tensor of dtype {tensor.dtype} has requires_grad=True; only floating-point tensors have "
            "gradients, convert it with astype first"
        )
    if gradient is None:
        if tensor.size != 1:
            raise GraphError(
                f"{name}: shape {tensor.shape} has {tensor.size} elements; "
                "only a single element has a gradient of its own: reduce it (.sum(), .mean()) or pass gradient="
            )
        one = np.empty(tensor.shape, tensor.dtype)
        one.fill(1)
        return wrap(one)
    gradient = gradient if isinstance(gradient, Tensor) else Tensor(gradient, tensor.dtype)
    if gradient.shape != tensor.shape:
        raise ShapeError(
            f"{name}: gradient of shape {gradient.shape} for a tensor of shape {tensor.shape}; they must agree"
        )
    return gradient if gradient.dtype == tensor.dtype else gradient.astype(tensor.dtype)
