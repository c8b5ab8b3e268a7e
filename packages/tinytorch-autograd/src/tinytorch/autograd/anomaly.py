"""Finding where a NaN was made."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import tinytorch
from tinytorch.tensor import OBSERVE, Primitive, array_of, handling

from .observing import Step, observe_backward
from .recording import Node, _tracing


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Stop at the first operation whose result, or whose gradient, holds a NaN that its inputs do not.

    Raises FloatingPointError with the name of the operation and the line of code that called it. Only the thread or
    task that enters it is watched. Remembering the call stack of every operation is slow, so it is for the search, not
    for training.

    >>> from tinytorch.tensor import Tensor
    >>> with detect_anomaly(), np.errstate(all="ignore"):
    ...     Tensor([-1.0]).log()
    Traceback (most recent call last):
    ...
    FloatingPointError: log made a NaN from inputs without one
    ...
    """
    token = _tracing.set(True)
    try:
        with handling(_Watch()), observe_backward(_check):
            yield
    finally:
        _tracing.reset(token)


class _Watch:
    level = OBSERVE

    def __call__(self, next: Any, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        result = next(primitive, args, params)
        out = result[0] if primitive.fused else result
        if _tracing.get() and _has_nan(out) and not any(map(_has_nan, args)):
            where = _line(traceback.extract_stack()[:-1])
            raise FloatingPointError(f"{primitive.name} made a NaN from inputs without one\n{where}")
        return result


def _check(next: Step, node: Node, gradient: Any, needs: Sequence[bool]) -> Sequence[Any]:
    gradients = next(node, gradient, needs)
    came_in = (gradient, node.out, *(node.args or ()))
    if _tracing.get() and any(map(_has_nan, gradients)) and not any(map(_has_nan, came_in)):
        where = _line(node.trace) if node.trace is not None else "it was recorded outside detect_anomaly()"
        raise FloatingPointError(f"the backward pass of {node.primitive.name} made a NaN\n{where}")
    return gradients


def _has_nan(value: Any) -> bool:
    if isinstance(value, Node):  # it has no values, because no rule reads them
        return False
    array = array_of(value)
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def _line(stack: list[traceback.FrameSummary]) -> str:
    """The innermost frame outside this framework: the line that called it."""
    own = tuple(os.path.join(os.path.abspath(folder), "") for folder in tinytorch.__path__)
    frames = [frame for frame in stack if not os.path.abspath(frame.filename).startswith(own)]
    frame = (frames or stack)[-1]
    return f"called from {frame.filename}:{frame.lineno}: {frame.line}"
