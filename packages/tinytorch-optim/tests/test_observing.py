"""Observers of updates stand around every group, and nothing of them stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.layers import Linear
from tinytorch.optim import SGD, AdamW, ChainedOptimizer, Muon, Optimizer, observe_updates
from tinytorch.optim.observing import _observers
from tinytorch.tensor import ones


def trained() -> Linear:
    model = Linear(3, 2)
    model(ones(4, 3)).sum().backward()
    return model


def test_every_group_is_observed_and_updated_once() -> None:
    model, seen = trained(), []
    before = model.weight.data.copy()
    groups = [{"params": [model.weight], "lr": 0.5}, {"params": [model.bias], "lr": 0.0}]

    def note(update: Any, kind: str, group: dict[str, Any], memory: Any, arrays: list[Any]) -> None:
        update()
        seen.append((kind, group["lr"], [*memory.state], len(arrays)))

    optimizer = AdamW(groups, weight_decay=0.0)
    with observe_updates(note):
        optimizer.step()
    assert seen == [("AdamW", 0.5, ["m", "v"], 1), ("AdamW", 0.0, ["m", "v"], 1)]
    np.testing.assert_allclose(model.weight.data, before - 0.5, rtol=1e-5)
    optimizer.step()
    assert len(seen) == 2


def test_a_chain_is_observed_as_its_optimizers() -> None:
    model, seen = trained(), []
    optimizer = ChainedOptimizer(Muon([model.weight]), SGD([model.bias], lr=0.1))
    with observe_updates(lambda update, kind, *rest: (seen.append(kind), update())[1]):
        optimizer.step()
    assert seen == ["Muon", "SGD"]


def test_later_observers_stand_outside_and_all_leave_after_an_error() -> None:
    model, order = trained(), []

    def inner(update: Any, *rest: Any) -> None:
        order.append("inner")
        raise ArithmeticError("on purpose")

    def outer(update: Any, *rest: Any) -> None:
        order.append("outer")
        update()

    optimizer: Optimizer = SGD(model, lr=0.1)
    with pytest.raises(ArithmeticError, match="on purpose"), observe_updates(inner), observe_updates(outer):
        optimizer.step()
    assert order == ["outer", "inner"]
    assert not _observers
