"""Hooks: functions that see a tensor's gradient when it is known, and may replace it."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from tinytorch.tensor import Tensor
from tinytorch.tensor.tensor import wrap

from .errors import GraphError
from .recording import origin
from .registry import Gradient

Hook = Callable[[Tensor], Tensor | None]


class HookHandle:
    """What registering a hook returns: `remove()` takes the hook away again; a second call does nothing."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self.remove = remove


def register_hook(tensor: Tensor, hook: Hook) -> HookHandle:
    """Call `hook(gradient)` when the whole gradient of `tensor` is known. What it returns, unless None, replaces it.

    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda g: g * 10)
    >>> x.sum().backward(); x.grad
    Tensor([10., 10.])
    >>> handle.remove()
    """
    if not tensor.requires_grad:
        raise GraphError("register_hook: this tensor does not require gradients; set requires_grad=True first")
    if not callable(hook):
        raise TypeError(f"register_hook: the hook is a {type(hook).__name__}; it is called with the gradient")
    place = origin(tensor)
    place.hooks = hooks = place.hooks or []
    own = functools.partial(hook)  # equal to itself alone: one function may be registered twice
    hooks.append(own)

    def remove() -> None:
        if own in hooks:
            hooks.remove(own)

    return HookHandle(remove)


def run_hooks(hooks: list[Hook], gradient: Gradient) -> Gradient:
    """The gradient after all hooks. They see a copy and the pass takes one, so they may keep and change it."""
    recorded = isinstance(gradient, Tensor)
    shown = gradient if recorded else wrap(gradient.copy())
    for hook in list(hooks):
        instead = hook(shown)
        if instead is not None:
            if not isinstance(instead, Tensor) or instead.shape != shown.shape:
                raise TypeError(
                    f"register_hook: for a gradient of shape {shown.shape} the hook returned a "
                    f"{type(instead).__name__} of shape {np.shape(instead)}; it returns None or a tensor of its shape"
                )
            shown = instead if instead.dtype == shown.dtype else instead.astype(shown.dtype)
    return shown if recorded else shown.data.copy()
