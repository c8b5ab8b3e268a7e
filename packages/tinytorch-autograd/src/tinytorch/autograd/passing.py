"""Passing a gradient back through one operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.tensor import Tensor, clock, written_since
from tinytorch.tensor.dispatch import unwrap
from tinytorch.tensor.tensor import wrap

from .recording import Node
from .registry import Gradient, rules


def check_usable(node: Node) -> None:
    """Refuse a node whose memory was freed, or whose arrays were written to since. Raises RuntimeError."""
    if node.args is None:
        raise RuntimeError(
            f"backward: what {node.primitive.name} kept was freed by an earlier backward pass; "
            "pass retain_graph=True to the earlier one, or compute the result again"
        )
    if node.moment != clock():
        reads = rules[node.primitive].keeps_inputs
        arrays = [arg.data for arg in node.args if reads and isinstance(arg, Tensor)]
        if any(written_since(array, node.moment) for array in (*arrays, node.out) if array is not None):
            raise RuntimeError(
                f"backward: an input or the result of {node.primitive.name} was changed in place after it was "
                "computed; change a .copy() instead, or change it after backward()"
            )


def through(node: Node, gradient: Gradient, needs: tuple[bool, ...], create_graph: bool = False) -> Sequence[Gradient]:
    """The gradients of a node's inputs, by its rule: on arrays, or with `create_graph` on tensors."""
    rule = rules[node.primitive]
    args, params = node.args or (), node.params
    if create_graph:
        inputs: Sequence[Any] = [arg if isinstance(arg, Tensor | Node) else unwrap(arg) for arg in args]
        out: Any = _result_of(node)
    else:  # lists and foreign arrays too, as the forward saw them
        inputs = [arg.data if isinstance(arg, Tensor) else arg if type(arg) is Node else unwrap(arg) for arg in args]
        out = node.out
        if rule.fused is not None:
            return _apart(node, rule.fused(gradient, out, node.saved, needs, *inputs, **params))
    if rule.jointly is not None:
        return _apart(node, rule.jointly(gradient, out, *inputs, **params))
    return [
        vjp(gradient, out, *inputs, **params) if needed and vjp is not None else None
        for vjp, needed in zip(rule.vjps, needs, strict=True)
    ]


def _apart(node: Node, gradients: Sequence[Gradient]) -> list[Gradient]:
    """Gradients that share no memory that the engine will add to: a rule may give one array, or its view, twice."""
    apart = list(gradients)
    if len(apart) != len(node.args or ()):
        raise RuntimeError(
            f"backward: the rule of {node.primitive.name} gave {len(apart)} gradients for {len(node.args or ())} "
            "inputs; it gives one for each, None where there is none"
        )
    whole = [each for each in apart if isinstance(each, np.ndarray) and each.base is None]
    for place, each in enumerate(apart):
        if isinstance(each, np.ndarray):
            first = next((k for k, other in enumerate(apart) if other is each), place)
            if first < place or any(each.base is other for other in whole):
                apart[place] = each.copy()
    return apart


def _result_of(node: Node) -> Tensor | None:
    if node.out is None:
        return None
    out = wrap(node.out)
    out.node, out.requires_grad = node, True
    return out


def sum_to(g: Gradient, shape: tuple[int, ...]) -> Gradient:
    """Sum away what broadcasting added: the gradient of a result becomes that of an input of `shape`.

    >>> sum_to(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    """
    extra = len(g.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        axis + extra for axis, size in enumerate(shape) if size == 1 and g.shape[axis + extra] != 1
    )
    summed = np.sum(g, axis=axes, keepdims=True) if axes else g
    if summed.shape[max(extra, 0) :] != shape:
        raise RuntimeError(f"backward: a rule gave a gradient of shape {g.shape} for an input of shape {shape}")
    return np.reshape(summed, shape)
