"""The updates of optimizers against NumPy's, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.acceleration import accelerating
from tinytorch.layers import Parameter
from tinytorch.optim import SGD, Adam, AdamW, Optimizer
from tinytorch.tensor import Tensor

from .comparing import DTYPES, units

OPTIMIZERS = [
    (SGD, {}),
    (SGD, {"weight_decay": 0.1}),
    (SGD, {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (Adam, {"weight_decay": 0.01}),
    (Adam, {"amsgrad": True}),
    (AdamW, {"weight_decay": 0.1}),
]
SHAPES = [(200, 400), (3,), (), (0, 3), (5, 7)]


def steps(kind: type[Optimizer], options: dict[str, Any], dtype: Any, fast: bool) -> tuple[list[Any], Any]:
    rng = np.random.default_rng(0)
    params = [Parameter(rng.standard_normal(shape).astype(dtype), dtype=dtype) for shape in SHAPES]
    optimizer = kind(params, lr=0.01, **options)
    for turn in range(4):
        for p in params:
            p.grad = Tensor(np.asarray(rng.standard_normal(p.shape), dtype), dtype)
        if turn == 2:
            params[1].grad = None
        if fast:
            with accelerating() as during:
                optimizer.step()
            (count,) = during.values()
            assert count == (1, {})
        else:
            optimizer.step()
    return [p.data for p in params], optimizer.state_dict()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_four_steps_are_within_a_few_units_and_the_state_is_the_same(
    kind: type[Optimizer], options: dict[str, Any], dtype: Any
) -> None:
    plain, state = steps(kind, options, dtype, fast=False)
    fast, fast_state = steps(kind, options, dtype, fast=True)
    for one, other in zip(plain, fast, strict=True):
        assert units(other, one, 1) <= 4
    assert fast_state["meta"] == state["meta"] and fast_state["arrays"].keys() == state["arrays"].keys()
    for name, array in state["arrays"].items():
        assert units(fast_state["arrays"][name], array, 1) <= 8, name


def test_what_is_not_served_is_updated_by_numpy() -> None:
    p = Parameter(np.ones((3, 2), np.float32).T)
    p.grad = Tensor(np.ones((2, 3), np.float32))
    with accelerating() as during:
        SGD([p], lr=0.5).step()
    np.testing.assert_array_equal(p.data, np.full((2, 3), 0.5, np.float32))
    assert during["SGD update"].served + sum(during["SGD update"].unserved.values()) == 1
