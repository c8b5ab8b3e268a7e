"""The backward pass: gradients handed from the last operation to the first, without recursion.

Nodes whose gradient is pending take turns in the reverse order of their birth, so that a node's turn comes when every
use of its result has contributed. Every node and edge is met once; what a node kept is freed at its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from threading import Lock
from typing import Any

import numpy as np

from tinytorch.tensor import Tensor, alias
from tinytorch.tensor.tensor import wrap

from .hooks import run_hooks
from .observing import observed
from .passing import check_usable, sum_to, through
from .recording import Node, Origin, enable_grad, no_grad, origin
from .registry import Gradient, rules


def backward(tensor: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add to `.grad` of every leaf the gradient of `tensor` with respect to it.

    `gradient`, of the tensor's shape, is the gradient of the final result with respect to this tensor; it may be left
    out for a single element, where it is 1. `retain_graph` keeps what was recorded for another backward pass;
    `create_graph` records the backward pass itself, so that the gradients can be differentiated.

    Raises RuntimeError when nothing was recorded, when what was recorded has been freed, or when an array that is
    needed was changed in place meanwhile.

    >>> from tinytorch.autograd import enable_autograd
    >>> enable_autograd()
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4.])
    """
    if not tensor.requires_grad:
        raise RuntimeError(
            "backward: this tensor was not made from tensors that require gradients; "
            "set requires_grad=True on an input, and compute outside no_grad()"
        )
    seed = _seed("backward", tensor, gradient)
    _propagate([(tensor, seed)], None, retain_graph or create_graph, create_graph)


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
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    seeds = grad_outputs if isinstance(grad_outputs, list | tuple) else [grad_outputs] * len(outs)
    if len(seeds) != len(outs):
        raise ValueError(f"grad: {len(outs)} outputs and {len(seeds)} grad_outputs; give one for each")
    for name, tensors in (("output", outs), ("input", ins)):
        for place, tensor in enumerate(tensors):
            if not tensor.requires_grad:
                raise RuntimeError(
                    f"grad: {name} {place} does not require gradients; set requires_grad=True before computing"
                )
    roots = [(out, _seed("grad", out, seed)) for out, seed in zip(outs, seeds, strict=True)]
    found = _propagate(roots, ins, create_graph if retain_graph is None else retain_graph, create_graph)
    gradients = []
    for place, tensor in enumerate(ins):
        gradient = found.get(origin(tensor))
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on input {place}; leave it out, or pass allow_unused=True"
            )
        gradients.append(gradient if gradient is None or isinstance(gradient, Tensor) else wrap(gradient))
    return gradients[0] if isinstance(inputs, Tensor) else tuple(gradients)


def _seed(name: str, tensor: Tensor, gradient: Any) -> Tensor:
    if gradient is None:
        if tensor.size != 1:
            raise RuntimeError(
                f"{name}: shape {tensor.shape} has {tensor.size} elements; "
                "only a single element has a gradient of its own: reduce it (.sum(), .mean()) or pass gradient="
            )
        return wrap(np.ones(tensor.shape, tensor.dtype))
    gradient = gradient if isinstance(gradient, Tensor) else Tensor(gradient, tensor.dtype)
    if gradient.shape != tensor.shape:
        raise ValueError(
            f"{name}: gradient of shape {gradient.shape} for a tensor of shape {tensor.shape}; they must agree"
        )
    return gradient if gradient.dtype == tensor.dtype else gradient.astype(tensor.dtype)


def _propagate(
    roots: list[tuple[Tensor, Tensor]], inputs: list[Tensor] | None, retain_graph: bool, create_graph: bool
) -> dict[Origin, Gradient]:
    """Pass gradients back from the roots, into the leaves; or, when `inputs` are named, return theirs by origin."""
    wanted = None if inputs is None else {origin(tensor) for tensor in inputs}
    leading = None if wanted is None else _leading_to(wanted, [root for root, _ in roots])
    step = observed(_through_tensors if create_graph else through)
    pending: dict[Origin, Gradient] = {}
    owned: set[Origin] = set()  # whose pending sum is an array of our own, which may be added to in place
    turns: list[tuple[int, Node]] = []  # nodes whose gradient is pending, the youngest first
    found: dict[Origin, Gradient] = {}

    def collect(target: Origin, gradient: Gradient, fresh: bool) -> None:
        before = pending.get(target)
        if before is None:
            pending[target] = gradient
            if fresh:
                owned.add(target)
            if type(target) is Node:
                heappush(turns, (-target.birth, target))
        elif target in owned:
            np.add(before, gradient, out=before)
        elif create_graph:
            pending[target] = before + gradient
        else:
            pending[target] = np.asarray(before + gradient)  # arithmetic on 0-dimensional arrays gives scalars
            owned.add(target)

    with enable_grad() if create_graph else no_grad():
        for root, seed in roots:
            if leading is None or origin(root) in leading:
                collect(origin(root), seed if create_graph else seed.data, False)
        while turns:
            node = heappop(turns)[1]
            gradient = pending.pop(node)
            owned.discard(node)
            if node.hooks:
                gradient = run_hooks(node.hooks, gradient)
            args = node.args or ()
            targets = [_target(arg, leading) for arg in args]
            if wanted is not None and node in wanted:
                found[node] = gradient if create_graph else gradient.copy()
                if all(target is None for target in targets):
                    continue
            check_usable(node)
            gradients = step(node, gradient, tuple([target is not None for target in targets]))
            for target, each in zip(targets, gradients, strict=True):
                if target is not None and each is not None:
                    if not create_graph and type(each) is not np.ndarray:
                        each = np.asarray(each)
                    fresh = not create_graph and each is not gradient and each.base is None
                    if each.shape != target.shape:
                        each, fresh = sum_to(each, target.shape), not create_graph
                    if each.dtype != target.dtype:
                        each, fresh = each.astype(target.dtype), not create_graph
                    collect(target, each, fresh)
            if not retain_graph:
                node.free()
        _deliver(pending, owned, wanted, found)
    return found


def _target(arg: Any, leading: set[Origin] | None) -> Origin | None:
    """Where the gradient of an input goes; None when it has none, or leads to nothing that was asked for."""
    if type(arg) is Node:
        target: Origin = arg
    elif isinstance(arg, Tensor) and arg.requires_grad:
        target = origin(arg)
    else:
        return None
    return target if leading is None or target in leading else None


def _leading_to(wanted: set[Origin], roots: list[Tensor]) -> set[Origin]:
    """What is wanted, and every operation between it and the roots."""
    seen: set[Node] = set()
    waiting = [origin(root) for root in roots]
    while waiting:
        node = waiting.pop()
        if type(node) is Node and node not in seen:
            seen.add(node)
            waiting.extend(origin(arg) for arg in node.args or () if isinstance(arg, Node | Tensor))
    leading = set(wanted)
    for node in sorted(seen, key=_birth):
        args = node.args
        # what a freed node led to is not known any more: that it was freed is for the pass to say
        if args is None or any(isinstance(arg, Node | Tensor) and origin(arg) in leading for arg in args):
            leading.add(node)
    return leading


def _birth(node: Node) -> int:
    return node.birth


def _deliver(
    pending: dict[Origin, Gradient], owned: set[Origin], wanted: set[Origin] | None, found: dict[Origin, Gradient]
) -> None:
    """Bring what has arrived at the leaves into `.grad`, or into `found` where it is wanted."""
    for leaf in pending:
        if leaf.dtype.kind != "f":
            raise RuntimeError(
                f"backward: a tensor of dtype {leaf.dtype} has requires_grad=True; only floating-point tensors have "
                "gradients, convert it with astype first"
            )
    for leaf, gradient in pending.items():
        assert isinstance(leaf, Tensor)
        if leaf.hooks:
            gradient = run_hooks(leaf.hooks, gradient)
        if wanted is None:
            with _delivering:
                _accumulate(leaf, gradient, leaf in owned)
        elif leaf in wanted:
            found[leaf] = gradient if isinstance(gradient, Tensor) or leaf in owned else gradient.copy()


_delivering = Lock()  # two threads may differentiate with respect to one leaf


def _through_tensors(node: Node, gradient: Tensor, needs: tuple[bool, ...]) -> Sequence[Gradient]:
    """Gradients that can be differentiated themselves."""
    if node.primitive.fused:
        return _through_composition(node, gradient, needs)
    return through(node, gradient, needs, create_graph=True)


def _through_composition(node: Node, gradient: Tensor, needs: tuple[bool, ...]) -> list[Gradient]:
    """Gradients through the readable form, from aliases on: how one input came from another is none of its business."""
    composition = rules[node.primitive].composition
    assert composition is not None
    inputs = [alias(arg) if needed else arg for arg, needed in zip(node.args or (), needs, strict=True)]
    chosen = [each for each, needed in zip(inputs, needs, strict=True) if needed]
    out = composition(*inputs, **node.params)
    gradients = iter(grad(out, chosen, gradient, create_graph=True, allow_unused=True))
    return [next(gradients) if needed else None for needed in needs]


def _accumulate(leaf: Tensor, gradient: Gradient, owned: bool) -> None:
    if isinstance(gradient, Tensor):
        leaf.grad = gradient.copy() if leaf.grad is None else leaf.grad + gradient
    elif leaf.grad is None:
        leaf.grad = wrap(gradient if owned else gradient.copy())
    else:
        np.add(leaf.grad.data, gradient, out=leaf.grad.data)
