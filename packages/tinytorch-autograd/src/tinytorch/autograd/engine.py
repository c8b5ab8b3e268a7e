"""The backward pass: gradients handed from the last operation to the first, without recursion.

Nodes whose gradient is pending take turns in the reverse order of their birth, so that a node's turn comes when every
use of its result has contributed. Every node and edge is met once; what a node kept is freed at its turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from threading import Lock
from typing import Any

import numpy as np

from tinytorch.tensor import Tensor, alias, mutation, note_write
from tinytorch.tensor.tensor import wrap

from .hooks import run_hooks
from .modes import enable_grad, no_grad
from .observing import observed
from .passing import all_new, check_usable, fitted, misfit, through, through_tensors
from .recording import Node, Origin, origin
from .registry import Gradient


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
    outs = _tensors("output", outputs)
    ins = _tensors("input", inputs)
    seeds = list(grad_outputs) if isinstance(grad_outputs, list | tuple) else [grad_outputs]
    if grad_outputs is None:
        seeds = [None] * len(outs)
    if len(seeds) != len(outs):
        raise ValueError(f"grad: {len(outs)} outputs and {len(seeds)} grad_outputs; give one for each")
    roots = [(out, _seed("grad", out, seed)) for out, seed in zip(outs, seeds, strict=True)]
    found = _propagate(roots, ins, create_graph if retain_graph is None else retain_graph, create_graph)
    gradients: list[Tensor | None] = []
    for place, tensor in enumerate(ins):
        gradient = found.get(origin(tensor))
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on input {place}; leave it out, or pass allow_unused=True"
            )
        if isinstance(gradient, np.ndarray):  # a copy for who asks twice
            gradient = wrap(gradient.copy() if any(tensor is other for other in ins[:place]) else gradient)
        gradients.append(gradient)
    return gradients[0] if isinstance(inputs, Tensor) else tuple(gradients)


def _tensors(name: str, given: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The tensors to differentiate, or with respect to which, when they can be."""
    tensors: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, Tensor) else [given]
    for place, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"grad: {name} {place} is a {type(tensor).__name__}; it must be a tensor")
        if not tensor.requires_grad:
            raise RuntimeError(
                f"grad: {name} {place} does not require gradients; set requires_grad=True before computing"
            )
    return tensors


def _seed(name: str, tensor: Tensor, gradient: Any) -> Tensor:
    if tensor.dtype.kind != "f":
        raise RuntimeError(
            f"{name}: this tensor of dtype {tensor.dtype} has requires_grad=True; only floating-point tensors have "
            "gradients, convert it with astype first"
        )
    if gradient is None:
        if tensor.size != 1:
            raise RuntimeError(
                f"{name}: shape {tensor.shape} has {tensor.size} elements; "
                "only a single element has a gradient of its own: reduce it (.sum(), .mean()) or pass gradient="
            )
        one = np.empty(tensor.shape, tensor.dtype)
        one.fill(1)
        return wrap(one)
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

    arrivals: list[tuple[Origin, Gradient, bool]] = [  # where, what, and whether it is an array of our own
        (origin(root), seed if create_graph else seed._data, False)
        for root, seed in roots
        if leading is None or origin(root) in leading
    ]
    with enable_grad() if create_graph else no_grad():
        while True:
            for target, gradient, own in arrivals:
                before = pending.get(target)
                if before is None:
                    pending[target] = gradient
                    if type(target) is Node:
                        heappush(turns, (-target.birth, target))
                elif target in owned:
                    np.add(before, gradient, out=before)
                else:
                    gradient = before + gradient  # of 0-dimensional arrays a scalar
                    pending[target], own = (gradient, False) if create_graph else (np.asarray(gradient), True)
                if own:
                    owned.add(target)
            if not turns:
                break
            node = heappop(turns)[1]
            gradient = pending.pop(node)
            owned.discard(node)
            if node.hooks:
                gradient = run_hooks(node.hooks, gradient)
            targets, needs = node.origins, node.needs
            if leading is not None:
                targets = [target if target in leading else None for target in targets]
                needs = [target is not None for target in targets]
            arrivals = []
            if wanted is not None and node in wanted:
                found[node] = gradient if create_graph else gradient.copy()
                if True not in needs:
                    continue
            if node.args is None or node.moment != mutation.now:
                check_usable(node)
            gradients = step(node, gradient, needs)
            if not isinstance(gradients, tuple | list) or len(gradients) != len(needs):
                raise misfit(node, gradients)
            gradients = [*gradients]  # whoever keeps the sequence that came holds its arrays too
            new = not create_graph and all_new(gradients)
            for each, place in zip(gradients, targets, strict=True):
                if each is None or place is None:
                    continue
                home = place if type(place) is Node else place._data  # type: ignore[union-attr]
                if type(each) is np.ndarray and each.shape == home.shape and each.dtype is home.dtype:
                    arrivals.append((place, each, new))
                else:
                    fit = fitted(each, home, create_graph)
                    arrivals.append((place, fit, new or (fit is not each and not create_graph)))
            del gradients, each  # what was added to another is not needed while the next rule works
            if not retain_graph:
                node.free()
        _deliver(pending, owned, wanted, found)
    return found


def _leading_to(wanted: set[Origin], roots: list[Tensor]) -> set[Origin]:
    """What is wanted, and every operation between it and the roots."""
    seen: set[Node] = set()
    waiting = [origin(root) for root in roots]
    while waiting:
        node = waiting.pop()
        if type(node) is Node and node not in seen:
            seen.add(node)
            waiting.extend(where for where in node.origins if where is not None)
    leading = set(wanted)
    for node in sorted(seen, key=_birth):
        # what a freed node led to is not known any more: that it was freed is for the pass to say
        if node.args is None or not leading.isdisjoint(node.origins):
            leading.add(node)
    return leading


def _birth(node: Node) -> int:
    return node.birth


def _deliver(
    pending: dict[Origin, Gradient], owned: set[Origin], wanted: set[Origin] | None, found: dict[Origin, Gradient]
) -> None:
    """Bring what has arrived at the leaves into `.grad`, or into `found` where it is wanted."""
    for leaf, gradient in pending.items():
        assert isinstance(leaf, Tensor)
        if leaf.hooks:
            gradient = run_hooks(leaf.hooks, gradient)
        if wanted is not None:
            if leaf in wanted:
                found[leaf] = gradient if isinstance(gradient, Tensor) or leaf in owned else gradient.copy()
            continue
        with _delivering:
            before = leaf.grad
            if before is None:
                leaf.grad = _own(gradient, leaf in owned)
            elif not isinstance(before, Tensor) or before.shape != leaf.shape or before.dtype.kind != "f":
                raise RuntimeError(
                    f"backward: the .grad of a tensor of shape {leaf.shape} {leaf.dtype} is {_told(before)}; "
                    "set it to None, or to a tensor of its shape and dtype"
                )
            elif isinstance(gradient, Tensor) or before.requires_grad or not before.data.flags.writeable:
                leaf.grad = before + gradient  # somebody may differentiate it, or may only read it
            else:
                np.add(before.data, gradient, out=before.data)
                note_write(before.data)  # what was computed with it as a number may still wait for its pass


def _own(gradient: Gradient, owned: bool) -> Tensor:
    if isinstance(gradient, Tensor):
        return gradient.copy()
    return wrap(gradient if owned else gradient.copy())


def _told(value: Any) -> str:
    return f"one of shape {value.shape} {value.dtype}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


_delivering = Lock()  # two threads may differentiate with respect to one leaf


def _through_tensors(node: Node, gradient: Tensor, needs: Sequence[bool]) -> Sequence[Gradient]:
    """Gradients that can be differentiated themselves: of a fused primitive through its readable form.

    That starts from aliases of the inputs: how one of them came from another is none of its business.
    """
    composition = node.rule.composition
    if composition is None:
        return through_tensors(node, gradient, needs)
    inputs = [alias(arg) if needed else arg for arg, needed in zip(node.args or (), needs, strict=True)]
    chosen = [each for each, needed in zip(inputs, needs, strict=True) if needed]
    out = composition(*inputs, **node.params)
    gradients = iter(grad(out, chosen, gradient, create_graph=True, allow_unused=True))
    return [next(gradients) if needed else None for needed in needs]
