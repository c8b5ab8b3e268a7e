"""`backward` and `grad`: they check their arguments and make a backward pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinytorch.tensor import ShapeError, Tensor
from tinytorch.tensor.tensor import wrap

from .engine import Arrays, Pass, Tensors
from .errors import GraphError
from .fitting import check_floating
from .recording import origin


def backward(tensor: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add to `.grad` of every leaf the gradient of `tensor` with respect to it.

    `gradient`, of the tensor's shape, is the gradient of the final result with respect to this tensor; it may be left
    out for a single element, where it is 1. `retain_graph` keeps what was recorded for another backward pass;
    `create_graph` records the backward pass itself, so that the gradients can be differentiated.

    Raises GraphError when nothing was recorded, when what was recorded has been freed, or when an array that is
    needed has been changed in place.

    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4.])
    """
    if not tensor.requires_grad:
        raise GraphError(
            "backward: nothing was recorded; set requires_grad=True on an input and compute outside no_grad(), where "
            "`w = w - step` makes a new tensor without gradients: update weights in place, `w -= step`"
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

    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> x = Tensor(3.0, requires_grad=True)
    >>> slope = grad(x * x, x, create_graph=True)
    >>> grad(slope, x)
    Tensor(2.)
    """
    outs = _tensors("output", outputs)
    ins = _tensors("input", inputs)
    seeds = [None] * len(outs) if grad_outputs is None else [grad_outputs]
    if isinstance(grad_outputs, list | tuple):
        seeds = list(grad_outputs)
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
                f"grad: the outputs do not depend on input {place}; leave it out or pass allow_unused=True"
            )
        asked_before = any(tensor is other for other in ins[:place])
        gradients.append(gradient.copy() if gradient is not None and asked_before else gradient)
    return gradients[0] if isinstance(inputs, Tensor) else tuple(gradients)


def _tensors(name: str, values: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """One tensor or several as a list, if all require gradients."""
    tensors: list[Any] = [values] if isinstance(values, Tensor) or not isinstance(values, Iterable) else list(values)
    for place, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"grad: {name} {place} is a {type(tensor).__name__}; it must be a tensor")
        if not tensor.requires_grad:
            raise GraphError(f"grad: {name} {place} does not require gradients; set requires_grad=True first")
    return tensors


def _seed(name: str, tensor: Tensor, gradient: Any) -> Tensor:
    check_floating(name, tensor)
    if gradient is None:
        if tensor.size != 1:
            raise GraphError(
                f"{name}: shape {tensor.shape} has {tensor.size} elements; "
                "only a single element has a gradient of its own: reduce it (.sum(), .mean()) or pass gradient="
            )
        return wrap(np.ones(tensor.shape, tensor.dtype))
    gradient = gradient if isinstance(gradient, Tensor) else Tensor(gradient, tensor.dtype)
    if gradient.shape != tensor.shape:
        raise ShapeError(f"{name}: gradient of shape {gradient.shape} for shape {tensor.shape}; they must agree")
    return gradient
