"""Schedules: attached, composed, saved; and clipping."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tinytorch.layers import Parameter
from tinytorch.optim import (
    SGD,
    Adam,
    CosineSchedule,
    OneCycleSchedule,
    Optimizer,
    Schedule,
    StepSchedule,
    WarmupSchedule,
    clip_grad_norm,
    clip_grad_value,
)
from tinytorch.tensor import Tensor


def optimizer(lr: float = 1.0, **options: Any) -> Optimizer:
    return SGD([Parameter([1.0])], lr=lr, **options)


def rates(schedule: Schedule, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(schedule.lr)
        schedule.step()
    return found


def test_each_group_follows_from_its_own_rate() -> None:
    both = SGD([{"params": [Parameter([1.0])], "lr": 1.0}, {"params": [Parameter([1.0])], "lr": 0.1}])
    schedule = StepSchedule(both, step_size=1, gamma=0.5)
    schedule.step()
    assert [group["lr"] for group in both.param_groups] == [0.5, 0.05]


def test_warmup_hands_over_without_a_jump() -> None:
    attached = optimizer()
    found = rates(WarmupSchedule(attached, 4, after=CosineSchedule(attached, total_steps=8, min_lr=0.1)), 20)
    assert found[:5] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert all(earlier > later for earlier, later in pairwise(found[4:13]))
    assert found[12:] == [0.1] * 8


@pytest.mark.parametrize("make", [
    lambda o: StepSchedule(o, 3, 0.5),
    lambda o: CosineSchedule(o, 10),
    lambda o: WarmupSchedule(o, 4, after=CosineSchedule(o, 6)),
    lambda o: OneCycleSchedule(o, max_lr=1.0, total_steps=10),
])  # fmt: skip
def test_a_schedule_and_its_optimizer_continue_where_they_were_saved(make: Any) -> None:
    unbroken = make(optimizer(momentum=0.9))
    expected = rates(unbroken, 10)
    broken = make(optimizer(momentum=0.9))
    rates(broken, 4)
    saved = json.loads(json.dumps([broken.state_dict(), broken.optimizer.state_dict()["meta"]]))
    resumed = make(optimizer(lr=9.0, momentum=0.9))
    resumed.optimizer.load_state_dict({"meta": saved[1], "arrays": broken.optimizer.state_dict()["arrays"]})
    resumed.load_state_dict(saved[0])
    assert rates(resumed, 6) == expected[4:]
    assert resumed.optimizer.param_groups[0]["momentum"] == unbroken.optimizer.param_groups[0]["momentum"]


def test_the_state_of_another_schedule_is_refused() -> None:
    schedule = StepSchedule(optimizer(), 3)
    for state in (CosineSchedule(optimizer(), 3).state_dict(), {"kind": "StepSchedule", "step": -1}, {}):
        with pytest.raises(ValueError, match="StepSchedule: the state"):
            schedule.load_state_dict(state)
    assert schedule.step_count == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepSchedule(optimizer(), 0), "step_size is 0"),
        (lambda: StepSchedule(optimizer(), 1, gamma=float("inf")), "gamma=inf"),
        (lambda: CosineSchedule(optimizer(), 0), "total_steps is 0"),
        (lambda: WarmupSchedule(optimizer(), 2, start_factor=-1.0), "start_factor=-1.0"),
        (lambda: OneCycleSchedule(optimizer(momentum=0.9), float("inf"), 10), "max_lr=inf"),
        (lambda: CosineSchedule(optimizer(), 3, min_lr=-0.1), "min_lr=-0.1"),
        (lambda: WarmupSchedule(optimizer(), 3, after=StepSchedule(optimizer(), 1)), "another optimizer"),
        (lambda: OneCycleSchedule(optimizer(), 1.0, 10), "no momentum to cycle"),
        (lambda: OneCycleSchedule(optimizer(momentum=0.9), 1.0, 10, warmup_fraction=2.0), "warmup_fraction=2.0"),
    ],
)
def test_a_wrong_argument_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_steps_are_whole() -> None:
    with pytest.raises(TypeError, match=r"total_steps is 2\.5; it must be an int"):
        CosineSchedule(optimizer(), 2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("total", range(1, 12))
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.3, 1.0])
def test_one_cycle_stays_within_its_bounds_for_any_length(total: int, fraction: float) -> None:
    schedule = OneCycleSchedule(Adam([Parameter([1.0])]), max_lr=1.0, total_steps=total, warmup_fraction=fraction)
    assert all(0 < rate <= 1.0 for rate in rates(schedule, total + 3))


def test_a_group_added_later_joins_the_schedule_at_its_own_rate() -> None:
    attached = optimizer(lr=1.0)
    schedule = StepSchedule(attached, step_size=1, gamma=0.5)
    schedule.step()
    attached.add_param_group({"params": [Parameter([1.0])], "lr": 0.1})
    schedule.step()
    assert [group["lr"] for group in attached.param_groups] == [0.25, 0.025]


def with_gradients(*gradients: Any, dtype: Any = np.float32) -> list[Parameter]:
    params = [Parameter(np.zeros(np.shape(g)), dtype=dtype) for g in gradients]
    for p, g in zip(params, gradients, strict=True):
        p.grad = Tensor(g, dtype=dtype)
    return params


def test_clipping_leaves_small_gradients_alone() -> None:
    params = with_gradients([0.3, 0.4])
    assert clip_grad_norm([*params, Parameter([1.0])], 1.0) == pytest.approx(0.5)
    assert params[0].grad is not None
    np.testing.assert_array_equal(params[0].grad.data, np.array([0.3, 0.4], np.float32))


def test_the_norm_of_huge_gradients_does_not_overflow() -> None:
    params = with_gradients([3e30, 4e30])
    assert clip_grad_norm(params, 1.0) == pytest.approx(5e30)
    assert params[0].grad is not None
    np.testing.assert_allclose(params[0].grad.data, [0.6, 0.8], rtol=1e-6)
    assert clip_grad_norm(with_gradients([300.0, 400.0], dtype=np.float16), 1.0) == 500.0


def test_a_norm_that_is_not_finite_is_refused_when_asked() -> None:
    params = with_gradients([1.0, np.nan], [2.0])
    with pytest.raises(FloatingPointError, match="norm of the gradients is nan"):
        clip_grad_norm(params, 1.0, error_if_nonfinite=True)
    assert params[1].grad is not None
    assert params[1].grad.tolist() == [2.0]


@pytest.mark.parametrize("value", [3.0, np.inf])
def test_only_a_norm_that_is_not_finite_is_refused_and_only_when_asked(value: float) -> None:
    assert clip_grad_norm(with_gradients([value]), 1.0) == value
    assert clip_grad_norm(with_gradients([3.0]), 1.0, error_if_nonfinite=True) == 3.0


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_clipping_nothing_is_refused(clip: Any) -> None:
    params = iter(with_gradients([3.0]))
    clip(params, 1.0)
    with pytest.raises(ValueError, match="no parameters; give a list, because an iterator can be read only once"):
        clip(params, 1.0)
    with pytest.raises(TypeError, match="got a float; parameters are tensors"):
        clip([1.0], 1.0)


def test_clipping_without_gradients_gives_zero() -> None:
    assert clip_grad_norm([Parameter([1.0])], 1.0) == 0.0
    assert clip_grad_norm(Parameter([1.0]), 1.0, norm_type=np.inf) == 0.0


def test_values_are_clipped_one_by_one() -> None:
    params = with_gradients([-3.0, 0.5, 3.0])
    clip_grad_value(params[0], 1.0)
    assert params[0].grad is not None
    assert params[0].grad.tolist() == [-1.0, 0.5, 1.0]


@pytest.mark.parametrize("order", [0.0, -2.0, np.nan])
def test_a_norm_is_of_an_order_above_zero(order: float) -> None:
    (parameter,) = with_gradients([3.0, 4.0])
    with pytest.raises(ValueError, match="above 0"):
        clip_grad_norm([parameter], 1.0, norm_type=order)
    assert parameter.grad is not None and parameter.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(("function", "limit"), [(clip_grad_norm, -1.0), (clip_grad_value, -1.0)])
def test_a_negative_limit_is_refused(function: Any, limit: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        function(with_gradients([1.0]), limit)
