"""The backward pass: gradients passed from the last operation to the first, without recursion.

Nodes with a pending gradient take turns, the youngest first. Every node and edge is met once; what a node kept is freed
at its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from threading import Lock
from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor, alias, kernels, mutation, note_write, substitute
from tinytorch.tensor.precision import widen
from tinytorch.tensor.running import as_input
from tinytorch.tensor.tensor import wrap

from .errors import GraphError
from .fitting import Part, sum_to
from .hooks import run_hooks
from .modes import enable_grad, no_grad
from .observing import observe
from .recording import Node, Origin, origin
from .registry import Gradient


class Pass:
    """One backward pass: `add` a gradient to what is pending, go `through` the `next` node, `deliver` at the leaves.

    It starts from `roots`, tensors with their gradients, and ends in `.grad` of the leaves; or, where `wanted` names
    nodes and leaves, with the gradients of those alone. A pending gradient is kept with whether it is new: an array
    that nothing else holds, so that the next one can be added to it in place.
    """

    def __init__(
        self, kind: Kind, roots: list[tuple[Tensor, Tensor]], wanted: set[Origin] | None, retain_graph: bool
    ) -> None:
        self.kind = kind
        self.step = observe(kind.through)
        self.wanted = wanted or set()
        self.leading = None if wanted is None else leading_to(wanted, [origin(root) for root, _ in roots])
        self.retain_graph = retain_graph
        self.pending: dict[Origin, tuple[Gradient, bool]] = {}
        self.turns: list[tuple[int, Node]] = []  # nodes whose gradient is pending, the youngest first
        self.found: dict[Origin, Tensor] = {}
        for root, seed in roots:
            if self.leading is None or origin(root) in self.leading:
                self.add(origin(root), kind.fit(seed, root), True)  # of a tensor a new array

    def run(self) -> dict[Origin, Tensor]:
        """The whole pass. Returns the gradients of what was wanted."""
        with self.kind.mode():
            while self.turns:
                self.through(self.next())
            self.deliver()
        return self.found

    def add(self, target: Origin, gradient: Gradient, new: bool) -> None:
        """Add a gradient to what is pending for `target`."""
        before = self.pending.get(target)
        if before is not None:
            self.pending[target] = self.kind.add(*before, gradient, new)
        else:
            self.pending[target] = gradient, new
            if type(target) is Node:
                heappush(self.turns, (-target.birth, target))

    def _add_part(self, target: Origin, part: Part) -> None:
        total, own = self.pending.get(target, (None, False))
        if own:
            part.add_to(total)
        else:
            self.add(target, np.asarray(part), True)

    def next(self) -> Node:
        """The youngest node that waits: every use of its result is younger and has had its turn."""
        return heappop(self.turns)[1]

    def through(self, node: Node) -> None:
        """Turn the gradient of a node's result into those of its inputs, and add them where the inputs came from."""
        gradient = self.pending.pop(node)[0]
        if node.hooks:
            gradient = run_hooks(node.hooks, gradient)
        needs = node.needs
        if self.leading is not None:
            needs = [target in self.leading for target in node.origins]
            if node in self.wanted:
                self.found[node] = self.kind.give(gradient, False)
                if True not in needs:
                    return
        if node.args is None or node.moment != mutation.now:
            node.check_usable()
        try:
            gradients = self.step(node, gradient, needs)
        except AttributeError as error:
            if not isinstance(error.obj, Node):
                raise
            raise GraphError(
                f"backward: the rule of {node.primitive.name} reads values that were not kept; its defvjp says so with "
                'keep=, "inputs" for what went in and "out" for what came out'
            ) from None
        if not isinstance(gradients, tuple | list) or len(gradients) != len(needs):
            seen = f"{len(gradients)} gradients" if isinstance(gradients, list | tuple) else type(gradients).__name__
            raise GraphError(
                f"backward: the rule of {node.primitive.name} gave {seen} for {len(needs)} inputs; "
                "it gives a tuple with one gradient for each, None where there is none"
            )
        del gradient  # what is added up below may be large
        new = node.rule.new
        for each, target, needed in zip(gradients, node.origins, needs, strict=True):
            if each is None or not needed:
                continue
            home: Any = target if type(target) is Node else target._data  # type: ignore[union-attr]
            if type(each) is self.kind.type and each.shape == home.shape and each.dtype is home.dtype:
                self.add(target, each, new)  # type: ignore[arg-type]
            elif type(each) is Part:
                self._add_part(target, each)  # type: ignore[arg-type]
            else:
                fit = self.kind.fit(each, home)
                self.add(target, fit, new or fit is not each)  # type: ignore[arg-type]
        if not self.retain_graph:
            node.free()

    def deliver(self) -> None:
        """Bring what has arrived at the leaves into `.grad`, or into `found` where it is wanted."""
        for leaf, (gradient, new) in self.pending.items():
            assert isinstance(leaf, Tensor)
            if leaf.hooks:
                gradient, new = run_hooks(leaf.hooks, gradient), True
            if self.leading is None:
                with _delivering:
                    self._add_to_grad(leaf, gradient, new)
            elif leaf in self.wanted:
                self.found[leaf] = self.kind.give(gradient, new)

    def _add_to_grad(self, leaf: Tensor, gradient: Gradient, new: bool) -> None:
        before = leaf._grad
        if before is None:
            leaf._grad = self.kind.give(gradient, new)
            return
        if before.shape != leaf.shape or before.dtype != leaf.dtype:
            raise GraphError(
                f"backward: the .grad of a tensor of shape {leaf.shape} {leaf.dtype} is one of shape {before.shape} "
                f"{before.dtype}; set it to None"
            )
        if isinstance(gradient, Tensor) or before.requires_grad or not before._data.flags.writeable:
            leaf._grad = before + gradient  # it may be differentiated itself, or may only be read
        else:
            np.add(before._data, gradient, out=before._data)
            note_write(before._data)  # an operation that read it as a number may still wait for its pass


_delivering = Lock()  # two threads may differentiate with respect to one leaf


class Arrays:
    """Gradients are arrays, for speed; none of what is done with them is recorded."""

    type = np.ndarray
    mode = no_grad

    @staticmethod
    def through(node: Node, gradient: Array, needs: Sequence[bool]) -> Sequence[Gradient]:
        """The gradients of a node's inputs, by its rule, or by what is installed to compute it: see `kernels`."""
        inputs: list[Any] = []
        for arg in node.args or ():  # lists and foreign arrays too, as the forward saw them
            inputs.append(arg._data if isinstance(arg, Tensor) else arg if type(arg) is Node else as_input(arg))
        out = node.out if node.rule.keeps_out else node
        if node.dtype.itemsize == 2 and node.primitive.upcast:
            gradient, out, *inputs = map(widen, (gradient, out, *inputs))
        rule = substitute(node.rule, node.rule) if kernels() else node.rule
        return rule(gradient, out, node.saved, needs, inputs, node.params)

    @staticmethod
    def fit(gradient: Gradient, home: Any) -> Array:
        array = gradient if isinstance(gradient, np.ndarray) else np.array(gradient)  # 0-dimensional ones give scalars
        return sum_to(array, home)

    @staticmethod
    def add(before: Array, own: bool, gradient: Array, new: bool) -> tuple[Array, bool]:
        if own or new:
            return np.add(before, gradient, before if own else gradient), True
        total = before + gradient
        return (total if type(total) is np.ndarray else np.asarray(total)), True  # of 0-dimensional arrays a scalar

    @staticmethod
    def give(gradient: Array, new: bool) -> Tensor:
        return wrap(gradient if new else gradient.copy())


class Tensors:
    """Gradients are tensors, and the pass is recorded, so that they can be differentiated themselves."""

    type = Tensor
    mode = enable_grad

    @staticmethod
    def through(node: Node, gradient: Tensor, needs: Sequence[bool]) -> Sequence[Gradient]:
        """The gradients of a node's inputs, by its rule; of a fused primitive through its readable composition."""
        args, composition = node.args or (), node.rule.composition
        if composition is not None:  # of aliases, because how one input came from another does not concern this node
            inputs = [alias(arg) if needed else arg for arg, needed in zip(args, needs, strict=True)]
            result = composition(*inputs, **node.params)
            if not result.requires_grad:
                raise GraphError(f"backward: the composition of {node.primitive.name} is not computed from its inputs")
            wanted = [origin(each) if needed else None for each, needed in zip(inputs, needs, strict=True)]
            roots = [(result, Tensors.fit(gradient, result))]
            found = Pass(Tensors, roots, {each for each in wanted if each is not None}, True).run()
            return [None if each is None else found.get(each) for each in wanted]
        inputs = [arg if isinstance(arg, Tensor | Node) else as_input(arg) for arg in args]
        out: Any = node
        if node.rule.keeps_out:
            out = wrap(node.out)
            out.node, out.requires_grad = node, True
        return node.rule(gradient, out, None, needs, inputs, node.params)

    @staticmethod
    def fit(gradient: Gradient, home: Any) -> Tensor:
        return sum_to(gradient if isinstance(gradient, Tensor) else wrap(np.array(gradient)), home)

    @staticmethod
    def add(before: Tensor, own: bool, gradient: Tensor, new: bool) -> tuple[Tensor, bool]:
        return before + gradient, False

    @staticmethod
    def give(gradient: Tensor, new: bool) -> Tensor:
        return gradient.copy()


Kind = type[Arrays] | type[Tensors]


def leading_to(wanted: set[Origin], roots: list[Origin]) -> set[Origin]:
    """What is wanted, and every operation between it and the roots."""
    seen: set[Node] = set()
    waiting = roots
    while waiting:
        node = waiting.pop()
        if type(node) is Node and node not in seen:
            seen.add(node)
            waiting.extend(where for where in node.origins if where is not None)
    leading = set(wanted)
    for node in sorted(seen, key=lambda node: node.birth):
        # what a freed node led to is not known any more: that it was freed is for the pass to say
        if node.args is None or not leading.isdisjoint(node.origins):
            leading.add(node)
    return leading
