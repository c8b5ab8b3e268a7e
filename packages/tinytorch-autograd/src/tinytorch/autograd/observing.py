"""Observers of the backward pass: they wrap the rule of every node, as handlers wrap primitives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .recording import Node
from .registry import Gradient

Step = Callable[[Node, Gradient, Sequence[bool]], Sequence[Gradient]]
"""(node, gradient, needs) -> one gradient for each of `node.args`: passing a gradient back through one operation."""

Observer = Callable[[Step, Node, Gradient, Sequence[bool]], Sequence[Gradient]]
"""(next, node, gradient, needs) -> what `next(node, gradient, needs)` returned: see `observe_backward`."""

_observers: list[Observer] = []


@contextmanager
def observe_backward(observer: Observer) -> Iterator[Observer]:
    """Call `observer(next, node, gradient, needs)` around every rule that backward passes use in a with block.

    `gradient` is that of the node's result, `needs` says for each of `node.args` whether its gradient is wanted (an
    argument whose values the rule does not read may be the node that made it, with its `shape` and `dtype`). The
    observer calls `next(node, gradient, needs)` and returns what that returned: one gradient for each input, None
    where there is none. Gradients are arrays (that of a piece may wait for `np.asarray`), or tensors when the pass
    itself is recorded (`create_graph=True`). An observer that keeps an array copies it: others are added to it later.
    Observers are process-wide; later ones wrap earlier ones. A backward pass asks for them once, when it starts.

    >>> from tinytorch.tensor import Tensor
    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> x, seen = Tensor([1.0, 2.0], requires_grad=True), []
    >>> def note(next, node, gradient, needs):
    ...     seen.append(node.primitive.name)
    ...     return next(node, gradient, needs)
    >>> with observe_backward(note):
    ...     (x * x).sum().backward()
    >>> seen
    ['sum', 'multiply']
    """
    _observers.append(observer)
    try:
        yield observer
    finally:
        _observers.remove(observer)


def observe(step: Step) -> Step:
    """`step` with every observer around it; `step` itself when there is none."""
    for observer in tuple(_observers):
        step = functools.partial(observer, step)
    return step
