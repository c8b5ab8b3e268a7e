"""Passing a gradient back through one operation."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from sys import getrefcount
from typing import Any

import numpy as np
from numpy import ndarray

from tinytorch.tensor import Array, Tensor, mutation, written_since
from tinytorch.tensor.dispatch import unwrap
from tinytorch.tensor.tensor import wrap

from .recording import Node
from .registry import Gradient


def check_usable(node: Node) -> None:
    """Refuse a node whose memory was freed, or whose arrays were written to since. Raises RuntimeError."""
    if node.args is None:
        raise RuntimeError(
            f"backward: what {node.primitive.name} kept was freed by an earlier backward pass; "
            "pass retain_graph=True to the earlier one, or compute the result again"
        )
    if node.moment != mutation.now:
        arrays = [arg.data for arg in node.args if node.rule.keeps_inputs and isinstance(arg, Tensor)]
        if node.rule.reads_params:
            arrays += [each.data for each in _tensors_in(node.params.values())]
        if any(written_since(array, node.moment) for array in (*arrays, node.out) if array is not None):
            raise RuntimeError(
                f"backward: an input or the result of {node.primitive.name} was changed in place after it was "
                "computed; change a .copy() instead, or change it after backward()"
            )


def _tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors_in(value)


def through(node: Node, gradient: Array, needs: Sequence[bool]) -> Sequence[Gradient]:
    """The gradients of a node's inputs, by its rule, as arrays."""
    rule, args = node.rule, node.args or ()
    # lists and foreign arrays too, as the forward saw them
    inputs: list[Any] = []
    for arg in args:
        inputs.append(arg._data if isinstance(arg, Tensor) else arg if type(arg) is Node else unwrap(arg))
    if rule.fused is not None:
        return rule.fused(gradient, node.out, node.saved, needs, *inputs, **node.params)
    return _by_rule(node, gradient, needs, node.out, inputs)


def through_tensors(node: Node, gradient: Tensor, needs: Sequence[bool]) -> Sequence[Gradient]:
    """The gradients of a node's inputs, by its rule, as tensors: they can be differentiated themselves."""
    inputs = [arg if isinstance(arg, Tensor | Node) else unwrap(arg) for arg in node.args or ()]
    out = None
    if node.out is not None:
        out = wrap(node.out)
        out.node, out.requires_grad = node, True
    return _by_rule(node, gradient, needs, out, inputs)


def _by_rule(
    node: Node, gradient: Gradient, needs: Sequence[bool], out: Any, inputs: Sequence[Any]
) -> Sequence[Gradient]:
    rule, params = node.rule, node.params
    if rule.jointly is not None:
        return rule.jointly(gradient, out, *inputs, **params)
    return [
        vjp(gradient, out, *inputs, **params) if needed and vjp is not None else None
        for vjp, needed in zip(rule.vjps, needs, strict=True)
    ]


def misfit(node: Node, gradients: Any) -> RuntimeError:
    """What to say of a rule that did not give one gradient for each input."""
    seen = f"{len(gradients)} gradients" if isinstance(gradients, tuple | list) else f"a {type(gradients).__name__}"
    return RuntimeError(
        f"backward: the rule of {node.primitive.name} gave {seen} for {len(node.needs)} inputs; "
        "it gives a tuple with one gradient for each, None where there is none"
    )


def all_new(gradients: Sequence[Gradient]) -> bool:
    """Whether nobody else holds the memory of what a rule gave, be it the rule itself, an observer or a cache.

    >>> x = np.ones(3)
    >>> all_new([x * 2, None]), all_new([x]), all_new([np.ones(3)[1:]])
    (True, False, False)
    """
    for each in gradients:
        if each is not None and (getrefcount(each) > _HOLDERS or type(each) is not ndarray or each.base is not None):
            return False
    return True


_HOLDERS = 2 if sys.version_info >= (3, 14) else 3  # the sequence, the loop and, before Python 3.14, the call


def fitted(gradient: Gradient, home: Any, recorded: bool) -> Gradient:
    """A gradient that a rule gave, with the shape and dtype of what it is the gradient of.

    A tensor where the pass itself is `recorded`, else an array. Raises RuntimeError when what it is the gradient of has
    integers, or when the shape is not one that broadcasting led to.
    """
    if home.dtype.kind != "f":
        raise RuntimeError(
            f"backward: a tensor of dtype {home.dtype} has requires_grad=True; only floating-point tensors have "
            "gradients, convert it with astype first"
        )
    if not isinstance(gradient, (ndarray, Tensor) if recorded else ndarray):
        gradient = np.array(gradient)  # arithmetic on 0-dimensional arrays gives scalars
    if gradient.shape != home.shape:
        gradient = sum_to(gradient, home.shape)
    return gradient if gradient.dtype == home.dtype else gradient.astype(home.dtype)


def sum_to(g: Gradient, shape: tuple[int, ...]) -> Gradient:
    """Sum away what broadcasting added: the gradient of a result becomes that of an input of `shape`.

    >>> sum_to(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    """
    extra = len(g.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        axis + extra for axis, size in enumerate(shape) if size == 1 and g.shape[axis + extra] != 1
    )
    # halves are summed in single precision: in their own, ten thousand ones are 2048
    wide: Any = {"dtype": np.float32} if isinstance(g, ndarray) and g.dtype.char == "e" else {}
    summed = np.sum(g, axis=axes, keepdims=True, **wide) if axes else g
    if summed.shape[max(extra, 0) :] != shape:
        raise RuntimeError(f"backward: a rule gave a gradient of shape {g.shape} for an input of shape {shape}")
    return np.reshape(summed, shape)
