"""Observers of the backward pass see every rule, change nothing, and leave no trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tinytorch.autograd import Node, Step, defvjp, grad, observe_backward
from tinytorch.autograd.observing import observe
from tinytorch.tensor import Tensor, primitive


@primitive(fused=True)
def squared(x: Any, /) -> tuple[Any, None]:
    return x * x, None


defvjp(squared, fused=lambda g, out, saved, needs, x: (g * 2 * x,), composition=lambda x: x * x)


class Note:
    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[int, ...], tuple[bool, ...]]] = []

    def __call__(self, next: Step, node: Node, gradient: Any, needs: tuple[bool, ...]) -> Sequence[Any]:
        self.seen.append((node.primitive.name, gradient.shape, tuple(needs)))
        return next(node, gradient, needs)


def leaf(*values: float) -> Tensor:
    return Tensor(list(values), dtype=np.float64, requires_grad=True)


def test_every_rule_is_seen_in_the_order_of_the_pass() -> None:
    x, note = leaf(1.0, 2.0), Note()
    loss = (x * 3.0).exp().sum()
    with observe_backward(note):
        loss.backward()
    assert note.seen == [("sum", (), (True,)), ("exp", (2,), (True,)), ("multiply", (2,), (True, False))]


def test_observed_gradients_are_the_gradients() -> None:
    x = leaf(1.0, 2.0)
    plain = grad((squared(x) * x).sum(), x)
    with observe_backward(Note()):
        watched = grad((squared(x) * x).sum(), x)
    np.testing.assert_array_equal(watched.data, plain.data)


def test_later_observers_stand_outside() -> None:
    order: list[str] = []

    def around(name: str) -> Any:
        def observer(next: Step, node: Node, gradient: Any, needs: tuple[bool, ...]) -> Sequence[Any]:
            order.append(f"{name} in")
            gradients = next(node, gradient, needs)
            order.append(f"{name} out")
            return gradients

        return observer

    x = leaf(1.0)
    with observe_backward(around("first")), observe_backward(around("second")):
        x.exp().backward()
    assert order == ["second in", "first in", "first out", "second out"]


def test_a_recorded_pass_is_seen_with_tensors_and_second_derivatives_are_right() -> None:
    x, note = leaf(3.0), Note()
    with observe_backward(note):
        slope = grad(squared(x).sum(), x, create_graph=True)
        curvature = grad(slope, x)
    assert ("squared", (1,), (True,)) in note.seen
    assert curvature.item() == 2.0


def test_an_error_leaves_no_observer_behind() -> None:
    def step(node: Node, gradient: Any, needs: tuple[bool, ...]) -> Sequence[Any]:
        return []

    with pytest.raises(ZeroDivisionError), observe_backward(Note()):
        raise ZeroDivisionError
    assert observe(step) is step


def test_an_error_of_a_rule_passes_through_observers() -> None:
    @primitive
    def broken(x: Any, /) -> Any:
        return x + 1

    def refuse(g: Any, out: Any, x: Any) -> Any:
        raise ArithmeticError("no gradient today")

    defvjp(broken, refuse)
    x = leaf(1.0)
    with pytest.raises(ArithmeticError, match="no gradient today"), observe_backward(Note()):
        broken(x).backward()
