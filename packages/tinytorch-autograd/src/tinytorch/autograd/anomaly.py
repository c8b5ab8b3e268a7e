"""Finding where a NaN was made."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.tensor import OBSERVE, Primitive, Tensor, handling

from .observing import Step, observe_backward
from .recording import Node, _tracing


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Stop at the first operation whose result, or whose gradient, holds a NaN that its inputs do not.

    Raises FloatingPointError that names the operation and the line of code it was called from. It remembers the call
    stack of every operation, which is slow: meant for the search, not for training.

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
        if _tracing.get() and _has_nan(out.data) and not any(_has_nan(_bare(arg)) for arg in args):
            where = _place(traceback.extract_stack()[:-1])
            raise FloatingPointError(f"{primitive.name} made a NaN from inputs without one\n{where}")
        return result


def _check(next: Step, node: Node, gradient: Any, needs: Sequence[bool]) -> Sequence[Any]:
    gradients = next(node, gradient, needs)
    if _tracing.get() and any(_has_nan(_bare(each)) for each in gradients):
        where = _place(node.trace) if node.trace is not None else "it was recorded outside detect_anomaly()"
        raise FloatingPointError(f"the backward pass of {node.primitive.name} made a NaN\n{where}")
    return gradients


def _bare(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _has_nan(value: Any) -> bool:
    return isinstance(value, np.ndarray | float) and bool(np.isnan(value).any())


def _place(stack: list[traceback.FrameSummary]) -> str:
    """The innermost frame outside this framework: the line somebody wrote."""
    frames = [frame for frame in stack if "/tinytorch/" not in frame.filename.replace("\\", "/")]
    frame = (frames or stack)[-1]
    return f"called from {frame.filename}:{frame.lineno}: {frame.line}"
