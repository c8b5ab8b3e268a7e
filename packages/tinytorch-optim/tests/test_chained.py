"""Several optimizers as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.layers import Linear, Parameter
from tinytorch.optim import SGD, AdamW, ChainedOptimizer, CosineSchedule, Muon
from tinytorch.tensor import Tensor


def layer() -> Linear:
    made = Linear(4, 3).astype(np.float64)
    rng = np.random.default_rng(0)
    for p in made.parameters():
        p.data = rng.normal(size=p.shape)
    return made


def both(of: Linear, **options: Any) -> ChainedOptimizer:
    return ChainedOptimizer(Muon([of.weight], lr=0.1), AdamW({"bias": of.bias}.items(), lr=0.2, **options))  # type: ignore[arg-type]


def give_gradients(of: Linear, step: int) -> None:
    rng = np.random.default_rng(step)
    for p in of.parameters():
        p.grad = Tensor(rng.normal(size=p.shape), dtype=np.float64)


def test_chained_optimizers_do_what_each_does_alone() -> None:
    one, other = layer(), layer()
    chained = both(one)
    assert other.bias is not None
    apart = [Muon([other.weight], lr=0.1), AdamW([other.bias], lr=0.2)]
    for step in range(4):
        give_gradients(one, step)
        give_gradients(other, step)
        chained.step()
        for optimizer in apart:
            optimizer.step()
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    chained.zero_grad()
    assert all(p.grad is None for p in one.parameters())


def test_a_schedule_reaches_all() -> None:
    chained = both(layer())
    schedule = CosineSchedule(chained, total_steps=2)
    schedule.step()
    assert [o.param_groups[0]["lr"] for o in chained.optimizers] == pytest.approx([0.05, 0.1])


def test_when_one_refuses_none_is_updated() -> None:
    of = layer()
    chained = both(of, check_finite=True)
    before = of.weight.data.copy()
    give_gradients(of, 0)
    assert of.bias is not None
    of.bias.grad = Tensor([np.nan, 0.0, 0.0], dtype=np.float64)
    with pytest.raises(FloatingPointError, match="gradient of bias"):
        chained.step()
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


def test_chains_nest_and_share_the_two_halves_of_a_step() -> None:
    one, other = layer(), layer()
    flat, nested = both(one), ChainedOptimizer(both(other))
    for step in range(2):
        give_gradients(one, step)
        give_gradients(other, step)
        flat.step()
        nested.apply(nested.gather())
    np.testing.assert_array_equal(other.weight.data, one.weight.data)
    saved = nested.state_dict()
    again = ChainedOptimizer(both(other))
    again.load_state_dict(saved)
    assert again.state_dict()["meta"] == saved["meta"]
    assert again.lr == nested.lr == 0.1


def test_a_group_added_to_one_of_them_is_seen() -> None:
    of = layer()
    first = Muon([of.weight])
    chained = ChainedOptimizer(first)
    first.add_param_group({"params": [Parameter(np.ones((2, 2)))]})
    assert len(chained.param_groups) == 2


def refused(of: Linear, how: str) -> Any:
    """A state that does not fit, or something else."""
    saved = both(of).state_dict()
    if how == "of one alone":
        return AdamW([of.bias]).state_dict()  # type: ignore[list-item]
    if how == "second damaged":
        saved["arrays"]["1/0.v"] = saved["arrays"]["1/0.v"][:1]
    elif how == "a part more":
        saved["arrays"]["2/0.v"] = saved["arrays"]["1/0.v"]
    elif how == "a name without a place":
        saved["arrays"]["v"] = saved["arrays"]["1/0.v"]
    elif how == "in another order":
        saved["meta"]["optimizers"].reverse()
    else:
        return {"weights": 1}
    return saved


@pytest.mark.parametrize(
    "how",
    ["of one alone", "second damaged", "a part more", "a name without a place", "in another order", "something else"],
)
def test_a_state_that_is_refused_changes_none_of_them(how: str) -> None:
    of = layer()
    chained = both(of)
    give_gradients(of, 0)
    chained.step()
    before = chained.state_dict()
    with pytest.raises(ValueError, match=r"ChainedOptimizer|Muon|AdamW"):
        chained.load_state_dict(refused(layer(), how))
    after = chained.state_dict()
    assert after["meta"] == before["meta"]
    for name, array in before["arrays"].items():
        np.testing.assert_array_equal(after["arrays"][name], array)


def test_a_parameter_belongs_to_one() -> None:
    p = Parameter([1.0])
    with pytest.raises(ValueError, match="two optimizers have the same parameter"):
        ChainedOptimizer(AdamW([p]), SGD([p]))
    with pytest.raises(ValueError, match="no optimizers"):
        ChainedOptimizer()
    with pytest.raises(NotImplementedError, match="add the group to one"):
        ChainedOptimizer(SGD([p])).add_param_group({"params": []})


def test_a_closure_is_called_once() -> None:
    p = Parameter([3.0])
    assert ChainedOptimizer(SGD([p])).step(lambda: (p * p).sum()).item() == 9.0
