"""The backward pass: gradients handed from the last operation to the first, without recursion.

The nodes that matter are collected once and taken in the reverse order of their birth, so that a node's turn comes
when every use of its result has contributed. Time is linear in nodes and edges; what a node kept is freed at its turn.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor, alias, written_since

from .anomaly import check_gradients
from .recording import Node, _recording, enable_grad, is_grad_enabled, no_grad
from .registry import Gradient, rules

Hook = Callable[[Tensor], Tensor | None]


def backward(tensor: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add to `.grad` of every leaf the gradient of `tensor` with respect to it.

    `gradient`, of the tensor's shape, is the gradient of the final result with respect to this tensor; it may be left
    out for a single element, where it is 1. `retain_graph` keeps what was recorded for another backward pass;
    `create_graph` records the backward pass itself, so that the gradients can be differentiated.

    Raises RuntimeError when nothing was recorded, when what was recorded has been freed, or when an array that is
    needed was changed in place meanwhile.

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
    """The gradients of `outputs` (their sum, weighted by `grad_outputs`) with respect to `inputs`, leaving `.grad` alone.

    One tensor for one input, a tuple for a sequence of them. With `create_graph` they can be differentiated again.
    An input that the outputs do not depend on is an error, or None with `allow_unused`.

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
                raise RuntimeError(f"grad: {name} {place} does not require gradients; set requires_grad=True before computing")
    roots = [(out, _seed("grad", out, seed)) for out, seed in zip(outs, seeds, strict=True)]
    found = _propagate(roots, ins, create_graph if retain_graph is None else retain_graph, create_graph)
    gradients = []
    for place, tensor in enumerate(ins):
        gradient = found.get(_key(tensor))
        if gradient is None and not allow_unused:
            raise RuntimeError(f"grad: the outputs do not depend on input {place}; leave it out, or pass allow_unused=True")
        gradients.append(gradient if gradient is None or isinstance(gradient, Tensor) else Tensor(gradient, gradient.dtype))
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
        raise ValueError(f"{name}: gradient of shape {gradient.shape} for a tensor of shape {tensor.shape}; they must agree")
    return gradient


def _key(tensor: Tensor) -> Any:
    """What gradients are collected under: the operation a tensor came from, or the leaf itself."""
    return id(tensor) if tensor.node is None else tensor.node


def _propagate(
    roots: list[tuple[Tensor, Tensor]], inputs: list[Tensor] | None, retain_graph: bool, create_graph: bool
) -> dict[Any, Gradient]:
    """Pass gradients back from the roots; the gradients of `inputs` by key, or into the leaves when there are none named."""
    wanted = None if inputs is None else {_key(tensor) for tensor in inputs}
    nodes = _reachable([root for root, _ in roots])
    if wanted is not None:
        nodes = _leading_to(wanted, nodes)
    pending: dict[Any, Gradient] = {}
    owned: set[Any] = set()  # keys whose pending sum is an array of our own, which may be added to in place
    leaves: dict[int, Tensor] = {}
    found: dict[Any, Gradient] = {}
    relevant = set(nodes)

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
                gradient = _run_hooks(node.hooks, gradient)
            if wanted is not None and node in wanted:
                found[node] = gradient
                if not any(isinstance(arg, Tensor) and (arg.node in relevant or _key(arg) in wanted) for arg in node.args or ()):
                    continue
            _check_usable(node)
            args = node.args or ()
            needs = tuple(
                isinstance(arg, Tensor)
                and arg.requires_grad
                and (wanted is None or arg.node in relevant or _key(arg) in wanted)
                for arg in args
            )
            gradients = _through(node, gradient, needs, create_graph)
            check_gradients(node, gradients)
            for arg, needed, each in zip(args, needs, gradients, strict=True):
                if needed and each is not None:
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
        if key in _leaf_hooks:
            gradient = _run_hooks(_leaf_hooks[key], gradient)
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


def _check_usable(node: Node) -> None:
    if node.args is None:
        raise RuntimeError(
            f"backward: what {node.primitive.name} kept was freed by an earlier backward pass; "
            "pass retain_graph=True to the earlier one, or compute the result again"
        )
    arrays = [arg.data for arg in node.args if isinstance(arg, Tensor)]
    if any(written_since(array, node.moment) for array in (*arrays, node.out) if array is not None):
        raise RuntimeError(
            f"backward: an input or the result of {node.primitive.name} was changed in place after it was computed; "
            "change a .copy() instead, or change it after backward()"
        )


def _through(node: Node, gradient: Gradient, needs: tuple[bool, ...], create_graph: bool) -> Sequence[Gradient]:
    """The gradients of a node's inputs, by its rule: on arrays, or on tensors when the backward pass is recorded."""
    rule = rules[node.primitive]
    args, params = node.args or (), node.params
    if create_graph:
        if rule.composition is not None:
            return _through_composition(rule.composition, gradient, needs, args, params)
        inputs: Sequence[Any] = args
        out: Any = _result_of(node)
    else:
        inputs = [arg.data if isinstance(arg, Tensor) else arg for arg in args]
        out = node.out
        if rule.fused is not None:
            return tuple(rule.fused(gradient, out, node.saved, needs, *inputs, **params))
    if rule.jointly is not None:
        return tuple(rule.jointly(gradient, out, *inputs, **params))
    return [
        vjp(gradient, out, *inputs, **params) if needed and vjp is not None else None
        for vjp, needed in zip(rule.vjps, needs, strict=True)
    ]


def _through_composition(
    composition: Callable[..., Tensor], gradient: Tensor, needs: tuple[bool, ...], args: tuple[Any, ...], params: dict[str, Any]
) -> list[Gradient]:
    """Gradients through the readable form, from aliases on: how one input came from another is none of its business."""
    inputs = [alias(arg) if needed else arg for arg, needed in zip(args, needs, strict=True)]
    chosen = [each for each, needed in zip(inputs, needs, strict=True) if needed]
    out = composition(*inputs, **params)
    gradients = iter(grad(out, chosen, gradient, create_graph=True, allow_unused=True))
    return [next(gradients) if needed else None for needed in needs]


def _result_of(node: Node) -> Tensor:
    out = Tensor(node.out, node.out.dtype if node.out is not None else None)
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


def _accumulate(leaf: Tensor, gradient: Gradient, owned: bool) -> None:
    if isinstance(gradient, Tensor):
        leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
    elif leaf.grad is None:
        leaf.grad = Tensor(gradient if owned else gradient.copy(), gradient.dtype)
    else:
        np.add(leaf.grad.data, gradient, out=leaf.grad.data)


# Hooks

_leaf_hooks: dict[int, list[Hook]] = {}


class HookHandle:
    """What `register_hook` returns: `remove()` takes the hook away again."""

    def __init__(self, hooks: list[Hook], hook: Hook) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


def register_hook(tensor: Tensor, hook: Hook) -> HookHandle:
    """Call `hook(gradient)` when the whole gradient of `tensor` is known; what it returns, if anything, takes its place.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda g: g * 10)
    >>> x.sum().backward(); x.grad
    Tensor([10., 10.])
    >>> handle.remove()
    """
    if not tensor.requires_grad:
        raise RuntimeError("register_hook: this tensor does not require gradients; set requires_grad=True first")
    node = tensor.node
    if node is None:
        hooks = _leaf_hooks.get(id(tensor))
        if hooks is None:
            hooks = _leaf_hooks[id(tensor)] = []
            weakref.finalize(tensor, _leaf_hooks.pop, id(tensor), None)
    else:
        node.hooks = hooks = node.hooks or []
    hooks.append(hook)
    return HookHandle(hooks, hook)


def _run_hooks(hooks: list[Hook], gradient: Gradient) -> Gradient:
    for hook in list(hooks):
        shown = gradient if isinstance(gradient, Tensor) else Tensor(gradient, gradient.dtype)
        instead = hook(shown)
        if instead is not None:
            if not isinstance(instead, Tensor) or instead.shape != shown.shape:
                raise TypeError(f"register_hook: the hook returned {instead!r}; it returns None or a tensor of shape {shown.shape}")
            gradient = instead if isinstance(gradient, Tensor) else instead.data
    return gradient
