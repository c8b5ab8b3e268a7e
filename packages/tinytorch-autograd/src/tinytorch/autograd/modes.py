"""Whether operations are recorded here and now: a switch for one thread and task alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from typing import Any, Self, TypeVar, cast, overload

F = TypeVar("F", bound=Callable[..., Any])

modes: ContextVar[tuple[bool, ...]] = ContextVar("modes", default=(True,))  # of the with blocks around, inmost last


class Mode:
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
            raise TypeError(f"{name}: {function!r} is no function; write `with {name}():`, or @{name} above a function")
        for kind, inside in _INSIDE.items():
            if kind(function):
                return cast(F, functools.wraps(function)(inside(self, function)))
        return cast(F, functools.wraps(function)(_function(self, function)))


def _function(mode: Mode, function: Callable[..., Any]) -> Callable[..., Any]:
    def inside(*args: Any, **kwargs: Any) -> Any:
        with mode:
            return function(*args, **kwargs)

    return inside


def _coroutine(mode: Mode, function: Callable[..., Any]) -> Callable[..., Any]:
    async def inside(*args: Any, **kwargs: Any) -> Any:
        with mode:  # while this waits, other tasks are in contexts of their own
            return await function(*args, **kwargs)

    return inside


def _generator(mode: Mode, function: Callable[..., Any]) -> Callable[..., Any]:
    def inside(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps = function(*args, **kwargs)
        advance, given = steps.send, None
        try:
            while True:
                with mode:  # between two steps the mode is the consumer's own
                    item = advance(given)
                try:
                    given, advance = (yield item), steps.send
                except GeneratorExit:
                    raise
                except BaseException as error:
                    given, advance = error, steps.throw
        except StopIteration as end:
            return end.value
        finally:
            with mode:
                steps.close()

    return inside


def _async_generator(mode: Mode, function: Callable[..., Any]) -> Callable[..., Any]:
    async def inside(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        steps = function(*args, **kwargs)
        advance, given = steps.asend, None
        try:
            while True:
                with mode:
                    item = await advance(given)
                try:
                    given, advance = (yield item), steps.asend
                except GeneratorExit:
                    raise
                except BaseException as error:
                    given, advance = error, steps.athrow
        except StopAsyncIteration:
            return
        finally:
            with mode:
                await steps.aclose()

    return inside


_INSIDE = {
    inspect.iscoroutinefunction: _coroutine,
    inspect.isgeneratorfunction: _generator,
    inspect.isasyncgenfunction: _async_generator,
}


class no_grad(Mode):
    """Record nothing inside a with block or a decorated function.

    >>> from tinytorch.autograd import enable_autograd
    >>> from tinytorch.tensor import Tensor
    >>> enable_autograd()
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
