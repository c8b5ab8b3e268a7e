"""Whether operations are recorded here and now: a switch for one thread and task."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, Self, TypeVar, cast, overload

from .decorating import decorate

F = TypeVar("F", bound=Callable[..., Any])

modes: ContextVar[tuple[bool, ...]] = ContextVar("modes", default=(True,))  # of the with blocks around, innermost last


class Mode(ContextDecorator):
    """A context manager and decorator; `@no_grad` and `@no_grad()` are the same."""

    record: bool

    @overload
    def __new__(cls) -> Self: ...
    @overload
    def __new__(cls, function: F) -> F: ...  # type: ignore[misc]
    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = object.__new__(cls)
        return mode if function is None else mode(function)

    def __enter__(self) -> None:
        modes.set((*modes.get(), self.record))

    def __exit__(self, *exc: object) -> None:
        modes.set(modes.get()[:-1] or (True,))  # a generator may be finished by a thread that never entered

    def __call__(self, function: F) -> F:
        if not callable(function):
            name = type(self).__name__
            raise TypeError(
                f"{name}: {function!r} is not a function; write `with {name}():`, or @{name} above a function"
            )
        return cast(F, decorate(self, function) or super().__call__(function))


class no_grad(Mode):
    """Record nothing inside a with block or a decorated function.

    >>> from tinytorch.tensor import Tensor
    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> x = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (x * 2).requires_grad
    False
    """

    record = False


class enable_grad(Mode):
    """Record again, inside a `no_grad` block.

    >>> from tinytorch.autograd import enable_autograd, is_grad_enabled
    >>> enable_autograd()
    >>> with no_grad(), enable_grad():
    ...     is_grad_enabled()
    True
    """

    record = True
