"""Observers of updates: they stand around the update of a group of parameters, as handlers stand around primitives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tinytorch.tensor import Array

from .buckets import Group, Memory

Update = Callable[[], None]
Observer = Callable[[Update, str, Group, Memory, list[Array | None]], None]

_observers: list[Observer] = []


@contextmanager
def observe_updates(observer: Observer) -> Iterator[Observer]:
    """Call `observer(update, kind, group, memory, arrays)` around every update of a group in a with block.

    The observer calls `update()` once. `kind` is the name of the optimizer, `group` has the options, `memory.state` the
    state as arrays by name and dtype; `arrays` are those of the parameters, None for one that has no gradient.

    >>> from tinytorch.layers import Parameter
    >>> from tinytorch.optim import SGD
    >>> p = Parameter([1.0, 2.0]); optimizer = SGD([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> def note(update, kind, group, memory, arrays):
    ...     update()
    ...     print(kind, group["lr"])
    >>> with observe_updates(note):
    ...     optimizer.step()
    SGD 0.1
    """
    _observers.append(observer)
    try:
        yield observer
    finally:
        _observers.remove(observer)


def observe(update: Callable[..., None], kind: str) -> Callable[..., None]:
    """`update(group, memory, arrays, gradients)` with every observer around it; itself when there is none."""
    if not _observers:
        return update

    def observed(group: Group, memory: Memory, arrays: list[Array | None], gradients: list[Array]) -> None:
        step: Update = partial(update, group, memory, arrays, gradients)
        for observer in tuple(_observers):
            step = partial(observer, step, kind, group, memory, arrays)
        step()

    return observed
