"""The seam for functions that compute the rule of a gradient differently."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.autograd import grad, observe_backward, rules
from tinytorch.tensor import Kernels, Tensor, exp, handling, sqrt


def leaf(*values: float) -> Tensor:
    return Tensor(list(values), dtype=np.float64, requires_grad=True)


def test_a_kernel_stands_for_a_rule_and_gives_way_where_it_does_not_serve() -> None:
    asked = []

    def kernel(g: Any, out: Any, saved: Any, needs: Any, inputs: Any, params: Any) -> Any:
        asked.append((g.item(), out.item(), saved, list(needs), params))
        return [g * 7] if out > 2 else NotImplemented

    x = leaf(1.0)
    with handling(Kernels({rules[exp]: kernel})):
        x.exp().sum().backward()
        assert grad(leaf_exp := (x * 0.0).exp().sum(), x).item() == 0.0 and leaf_exp.item() == 1.0
    assert x.grad is not None and x.grad.item() == 7
    assert asked[0] == (1.0, np.e, None, [True], {}) and len(asked) == 2
    assert grad(x.exp().sum(), x).item() == np.e


def test_observers_see_what_the_kernel_gave() -> None:
    x, seen = leaf(4.0), []

    def note(next: Any, node: Any, gradient: Any, needs: Any) -> Any:
        gradients = next(node, gradient, needs)
        seen.append((node.primitive.name, gradients[0].item()))
        return gradients

    with handling(Kernels({rules[sqrt]: lambda g, *_: [g * 5]})), observe_backward(note):
        x.sqrt().backward(Tensor([1.0], np.float64))
    assert seen == [("sqrt", 5.0)]


def test_recorded_passes_are_differentiated_by_the_rules_themselves() -> None:
    x = leaf(1.0)
    with handling(Kernels({rules[exp]: lambda g, *_: [g * 5]})):
        (slope,) = grad(x.exp().sum(), [x], create_graph=True)
    assert slope.item() == np.e and grad(slope.sum(), x).item() == np.e
