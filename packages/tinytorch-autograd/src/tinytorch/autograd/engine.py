"""The backward pass: gradients handed from the last operation to the first, without recursion.

The nodes that matter are collected once and taken in the reverse order of their birth, so that a node's turn comes
when every use of its result has contributed. Time is linear in nodes and edges; what a node kept is freed at its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.tensor import Tensor, alias

from .anomaly import check_gradients
from .hooks import leaf_hooks, run_hooks
from .observing import observed
from .passing import check_usable, sum_to, through
from .recording import Node, enable_grad, no_grad
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
        gradient = found.get(_key(tensor))
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on input {place}; leave it out, or pass allow_unused=True"
            )
        gradients.append(
            gradient if gradient is None or isinstance(gradient, Tensor) else Tensor(gradient, gradient.dtype)
        )
    return gradients[0] if isinstance(inputs, Tensor) else tuple(gradients)


def _seed(name: str, tensor: Tensor, gradient: Any) -> Tensor:
    if gradient is None:
        if tensor.size != 1:
            raise RuntimeError(
                f"{name}: shape {tensor.shape} has {tensor.size} elements; "
                "only a single element has a gradient of its own: reduce it (.sum(), .mean()) or pass gradient="
            )
        return Tensor(np.ones_like(tensor.data), tensor.dtype)
    gradient = gradient if isinstance(gradient, Tensor) else Tensor(gradient, tensor.dtype)
    if gradient.shape != tensor.shape:
        raise ValueError(
            f"{name}: gradient of shape {gradient.shape} for a tensor of shape {tensor.shape}; they must agree"
        )
    return gradient


def _key(tensor: Tensor) -> Any:
    """What gradients are collected under: the operation a tensor came from, or the leaf itself."""
    return id(tensor) if tensor.node is None else tensor.node


def _propagate(
    roots: list[tuple[Tensor, Tensor]], inputs: list[Tensor] | None, retain_graph: bool, create_graph: bool
) -> dict[Any, Gradient]:
    """Pass gradients back from the roots, into the leaves; or, when `inputs` are named, return theirs by key."""
    wanted = None if inputs is None else {_key(tensor) for tensor in inputs}
    nodes = _reachable([root for root, _ in roots])
    if wanted is not None:
        nodes = _leading_to(wanted, nodes)
    pending: dict[Any, Gradient] = {}
    owned: set[Any] = set()  # keys whose pending sum is an array of our own, which may be added to in place
    leaves: dict[int, Tensor] = {}
    found: dict[Any, Gradient] = {}
    relevant = set(nodes)
    step = observed(_through_tensors if create_graph else through)

    def collect(tensor: Tensor, gradient: Gradient, fresh: bool) -> None:
        key = _key(tensor)
        if tensor.node is None:
            leaves[key] = tensor
        if key not in pending:
            pending[key] = gradient
            if fresh:
                owned.add(key)
        elif key in owned:
            np.add(pending[key], gradient, out=pending[key])
        else:
            pending[key] = pending[key] + gradient
            if not create_graph:
                owned.add(key)

    with enable_grad() if create_graph else no_grad():
        for root, seed in roots:
            collect(root, seed if create_graph else seed.data, False)
        while nodes:
            node = nodes.pop()
            gradient = pending.pop(node)
            owned.discard(node)
            if node.hooks:
                gradient = run_hooks(node.hooks, gradient)
            if wanted is not None and node in wanted:
                found[node] = gradient
                if not any(
                    isinstance(arg, Tensor) and (arg.node in relevant or _key(arg) in wanted) for arg in node.args or ()
                ):
                    continue
            check_usable(node)
            args = node.args or ()
            needs = tuple(
                isinstance(arg, Tensor)
                and arg.requires_grad
                and (wanted is None or arg.node in relevant or _key(arg) in wanted)
                for arg in args
            )
            gradients = step(node, gradient, needs)
            check_gradients(node, gradients)
            for arg, needed, each in zip(args, needs, gradients, strict=True):
                if needed and each is not None:
                    if not create_graph and type(each) is not np.ndarray:
                        each = np.asarray(each)  # arithmetic on 0-dimensional arrays gives scalars
                    fresh = not create_graph and each is not gradient and each.base is None
                    if each.shape != arg.data.shape:
                        each, fresh = sum_to(each, arg.data.shape), not create_graph
                    if each.dtype != arg.data.dtype:
                        each, fresh = each.astype(arg.data.dtype), not create_graph
                    collect(arg, each, fresh)
            if not retain_graph:
                node.free()
    for key, leaf in leaves.items():
        gradient = pending[key]
        if key in leaf_hooks:
            gradient = run_hooks(leaf_hooks[key], gradient)
        if wanted is None:
            _accumulate(leaf, gradient, key in owned)
        elif key in wanted:
            found[key] = gradient
    return found


def _reachable(roots: list[Tensor]) -> list[Node]:
    """Every node that the roots were made through, oldest first."""
    seen: set[Node] = set()
    waiting: list[Node] = [root.node for root in roots if root.node is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.args is not None:
            waiting.extend(arg.node for arg in node.args if isinstance(arg, Tensor) and arg.node is not None)
    return sorted(seen, key=_birth)


def _birth(node: Node) -> int:
    return node.birth


def _leading_to(wanted: set[Any], nodes: list[Node]) -> list[Node]:
    """Those of `nodes` (oldest first) that were made from what is wanted, or are wanted themselves."""
    leading: set[Node] = set()
    for node in nodes:
        if node in wanted or any(
            isinstance(arg, Tensor) and (_key(arg) in wanted or arg.node in leading) for arg in node.args or ()
        ):
            leading.add(node)
    return [node for node in nodes if node in leading]


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
        leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
    elif leaf.grad is None:
        leaf.grad = Tensor(gradient if owned else gradient.copy(), gradient.dtype)
    else:
        np.add(leaf.grad.data, gradient, out=leaf.grad.data)
