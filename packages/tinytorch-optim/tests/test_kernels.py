"""The seam for functions that compute the update of a group differently."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import Parameter
from tinytorch.optim import SGD, Adam, AdamW, Optimizer, observe_updates
from tinytorch.tensor import Kernels, handling


def trained() -> Parameter:
    p = Parameter([1.0, 2.0])
    (p * p).sum().backward()
    return p


def test_a_kernel_stands_for_the_update_of_an_optimizer_and_of_those_that_inherit_it() -> None:
    asked = []

    def kernel(optimizer: Optimizer, group: Any, memory: Any, arrays: Any, gradients: Any) -> None:
        asked.append((optimizer.kind, group["lr"], sorted(memory.state), gradients[0].tolist()))
        for p in arrays:
            p[...] = 5

    p = trained()
    with handling(Kernels({Adam.update: kernel})):
        optimizer = AdamW([p], lr=0.1)
        optimizer.step()
        SGD([q := trained()], lr=0.5).step()
    assert p.data.tolist() == [5, 5] and q.data.tolist() == [0, 0]
    assert asked == [("AdamW", 0.1, ["m", "v"], [2.0, 4.0])]
    assert optimizer.memories[0].steps == [1]


def test_where_it_does_not_serve_and_where_update_is_overridden_the_optimizer_updates() -> None:
    class Twice(SGD):
        def update(self, change: Any, g: Any, *rest: Any) -> None:
            super().update(change, g, *rest)
            change *= 2

    with handling(Kernels({SGD.update: lambda *_: NotImplemented})):
        SGD([p := trained()], lr=0.5).step()
    with handling(Kernels({SGD.update: lambda *_: None})):
        Twice([q := trained()], lr=0.5).step()
        optimizer = SGD([r := trained()], lr=0.5)
        optimizer.update = Twice.update.__get__(Twice([r], lr=0.5))  # type: ignore[method-assign]
        optimizer.step()
    assert p.data.tolist() == [0, 0] and q.data.tolist() == r.data.tolist() == [-1, -2]


def test_observers_stand_around_it_and_written_arrays_are_noted() -> None:
    p, seen = trained(), []

    def kernel(optimizer: Any, group: Any, memory: Any, arrays: Any, gradients: Any) -> None:
        np.copyto(arrays[0], 3)
        seen.append("kernel")

    def note(update: Any, *_: Any) -> None:
        seen.append("before")
        update()
        seen.append("after")

    with handling(Kernels({SGD.update: kernel})), observe_updates(note):
        SGD([p], lr=0.5).step()
    assert seen == ["before", "kernel", "after"] and p.data.tolist() == [3, 3]
