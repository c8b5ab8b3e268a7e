"""What going through dispatch costs over the bare NumPy call, on arrays of four elements, with no handler installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .entry import Entry, Step

OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}
REPEATS = 1000


def repeated(call: Callable[[], Any]) -> Step:
    """A step of many calls, so that the loop around it costs little; the same loop on both sides."""

    def step() -> None:
        for _ in range(REPEATS):
            call()

    return step


def ours(name: str) -> Step:
    import tinytorch.tensor as tt

    x = tt.Tensor([[1.0, 2.0], [3.0, 4.0]])
    operation = getattr(tt, name)
    return repeated({1: lambda: operation(x), 2: lambda: operation(x, x)}[operation.arity])


def peer(name: str) -> Step:
    x = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    operation = getattr(np, name)
    return repeated({"exp": lambda: operation(x), "sum": lambda: operation(x)}.get(name, lambda: operation(x, x)))


ENTRIES = [
    Entry(
        f"dispatch-{name}",
        partial(ours, name),
        partial(peer, name),
        "the bare NumPy call",
        0.5,
        difference=True,
        calls=REPEATS,
        threads=1,
    )
    for name in ("add", "exp", "matmul", "sum")
]
