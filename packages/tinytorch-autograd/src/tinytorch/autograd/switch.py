"""Switching differentiation on and off."""

from __future__ import annotations

from threading import Lock
from typing import Any

from tinytorch.tensor import Tensor, alias, announce, extend, handlers, keep_freed_memory, pop, push, retract

from .gradients import backward
from .hooks import register_hook
from .modes import no_grad
from .recording import recorder


def _is_leaf(self: Tensor) -> bool:
    """Whether the tensor was not computed from others: gradients are kept in leaves."""
    return self.node is None


def _detach(self: Tensor) -> Tensor:
    """A tensor of the same values, sharing memory, that no gradient passes through."""
    with no_grad():
        return alias(self)


def _zero_grad(self: Tensor) -> None:
    """Set `.grad` to None."""
    self._grad = None


_switching = Lock()
_MEMBERS: dict[str, Any] = {
    "backward": backward,
    "detach": _detach,
    "is_leaf": property(_is_leaf),
    "register_hook": register_hook,
    "zero_grad": _zero_grad,
}
_PROVIDER = "tinytorch.autograd.enable_autograd()"
announce(_PROVIDER, _MEMBERS)


def enable_autograd(keep_memory: bool = True) -> None:
    """Record operations from now on, and give tensors `backward detach zero_grad register_hook is_leaf`.

    Recording is process-wide; `no_grad` pauses it in one thread or task. Calling this again changes nothing.
    `keep_memory` also lets the C library keep freed memory for the next operation (see
    `tinytorch.tensor.keep_freed_memory`). Without it, training spends most of its time mapping pages.

    >>> enable_autograd()
    >>> x = Tensor(2.0, requires_grad=True)
    >>> (x * x * x).backward()
    >>> x.grad
    Tensor(12.)
    """
    with _switching:
        if recorder in handlers():
            return
        extend(_PROVIDER, _MEMBERS)
        push(recorder)
    if keep_memory:
        keep_freed_memory()


def disable_autograd() -> None:
    """Stop recording and take the added names away: `Tensor` is exactly what it was. Changes nothing when it is off."""
    with _switching:
        if recorder in handlers():
            pop(recorder)
            retract(set(_MEMBERS))
