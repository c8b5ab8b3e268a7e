"""Coroutines and generators inside a context, which holds while their own code runs and not while they wait."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

Context = AbstractContextManager[Any]


def decorate(context: Context, function: Callable[..., Any]) -> Callable[..., Any] | None:
    """A generator or coroutine function with `context` around each of its steps; None for any other function."""
    if inspect.isgeneratorfunction(function):
        return functools.wraps(function)(lambda *args, **kwargs: _Steps(context, function(*args, **kwargs)))
    if inspect.isasyncgenfunction(function):
        return functools.wraps(function)(lambda *args, **kwargs: _AsyncSteps(context, function(*args, **kwargs)))
    if not inspect.iscoroutinefunction(function):
        return None

    @functools.wraps(function)
    async def inside(*args: Any, **kwargs: Any) -> Any:
        with context:  # while this waits, other tasks are in contexts of their own
            return await function(*args, **kwargs)

    return inside


class _Steps(Generator[Any, Any, Any]):
    def __init__(self, context: Context, steps: Generator[Any, Any, Any]) -> None:
        self.context, self.steps = context, steps

    def send(self, value: Any) -> Any:
        with self.context:
            return self.steps.send(value)

    def throw(self, *error: Any) -> Any:
        with self.context:
            return self.steps.throw(*error)

    def __del__(self) -> None:
        self.close()


class _AsyncSteps(AsyncGenerator[Any, Any]):
    def __init__(self, context: Context, steps: AsyncGenerator[Any, Any]) -> None:
        self.context, self.steps = context, steps

    async def asend(self, value: Any) -> Any:
        with self.context:
            return await self.steps.asend(value)

    async def athrow(self, *error: Any) -> Any:
        with self.context:
            return await self.steps.athrow(*error)
