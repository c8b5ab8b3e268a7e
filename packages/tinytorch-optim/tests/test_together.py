"""Several optimizers as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.layers import Linear, Parameter
from tinytorch.optim import SGD, AdamW, CosineSchedule, Muon, Together
from tinytorch.tensor import Tensor


def layer() -> Linear:
    made = Linear(4, 3).astype(np.float64)
    rng = np.random.default_rng(0)
    for p in made.parameters():
        p.data = rng.normal(size=p.shape)
    return made


def both(of: Linear, **options: Any) -> Together:
    return Together(Muon([of.weight], lr=0.1), AdamW({"bias": of.bias}.items(), lr=0.2, **options))  # type: ignore[arg-type]


def give_gradients(of: Linear, step: int) -> None:
    rng = np.random.default_rng(step)
    for p in of.parameters():
        p.grad = Tensor(rng.normal(size=p.shape), dtype=np.float64)


def test_together_is_each_alone() -> None:
    one, other = layer(), layer()
    together = both(one)
    assert other.bias is not None
    apart = [Muon([other.weight], lr=0.1), AdamW([other.bias], lr=0.2)]
    for step in range(4):
        give_gradients(one, step)
        give_gradients(other, step)
        together.step()
        for optimizer in apart:
            optimizer.step()
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    together.zero_grad()
    assert all(p.grad is None for p in one.parameters())


def test_a_schedule_reaches_all() -> None:
    together = both(layer())
    schedule = CosineSchedule(together, total_steps=2)
    schedule.step()
    assert [o.param_groups[0]["lr"] for o in together.optimizers] == pytest.approx([0.05, 0.1])


def test_when_one_refuses_none_is_updated() -> None:
    of = layer()
    together = both(of, check_finite=True)
    before = of.weight.data.copy()
    give_gradients(of, 0)
    assert of.bias is not None
    of.bias.grad = Tensor([np.nan, 0.0, 0.0], dtype=np.float64)
    with pytest.raises(FloatingPointError, match="gradient of bias"):
        together.step()
    np.testing.assert_array_equal(of.weight.data, before)


def test_state_continues_bit_for_bit_or_is_refused_whole() -> None:
    whole, half = layer(), layer()
    first, second = both(whole), both(half)
    for step in range(3):
        give_gradients(whole, step)
        give_gradients(half, step)
        first.step()
        second.step()
    saved = second.state_dict()
    second = both(half)
    second.load_state_dict(saved)
    give_gradients(whole, 3)
    give_gradients(half, 3)
    first.step()
    second.step()
    np.testing.assert_array_equal(half.weight.data, whole.weight.data)

    fresh = both(layer())
    saved["arrays"].pop("1/0.v")
    with pytest.raises(ValueError, match=r"0\.v is missing"):
        fresh.load_state_dict(saved)
    assert fresh.state_dict()["meta"]["optimizers"][0]["groups"][0]["steps"] == [0]
    with pytest.raises(ValueError, match="0 optimizers, here are 2"):
        fresh.load_state_dict({"arrays": {}, "meta": {}})


def test_a_parameter_belongs_to_one() -> None:
    p = Parameter([1.0])
    with pytest.raises(ValueError, match="SGD has parameters of another one"):
        Together(AdamW([p]), SGD([p]))
    with pytest.raises(ValueError, match="no optimizers"):
        Together()
    with pytest.raises(NotImplementedError, match="before putting them together"):
        Together(SGD([p])).add_param_group({"params": []})


def test_a_closure_is_called_once() -> None:
    p = Parameter([3.0])
    assert Together(SGD([p])).step(lambda: (p * p).sum()).item() == 9.0
