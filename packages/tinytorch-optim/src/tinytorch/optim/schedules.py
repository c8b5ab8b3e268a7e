"""Learning rates as functions of the step."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi
from typing import Any

from tinytorch.tensor import check_int

from .optimizer import Optimizer
from .options import check_options


class Schedule:
    """Base of all schedules: a subclass gives `rate`. Attached, it sets the rate of step 0 at once.

    Call `step()` after each step of the optimizer. Schedules start from the rates that the groups have when the first
    schedule is attached, or when a group is added later.

    >>> class Halving(Schedule):
    ...     def rate(self, base, step):
    ...         return base * 0.5**step
    >>> from tinytorch.layers import Parameter
    >>> from tinytorch.optim import SGD
    >>> schedule = Halving(SGD([Parameter([1.0])], lr=0.8))
    >>> schedule.step(); schedule.lr
    0.4
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.step_count = optimizer, 0
        self.apply()

    def rate(self, base: float, step: int) -> float:
        """The learning rate at `step`, counted from 0, for a group whose initial rate is `base`."""
        raise NotImplementedError(f"{type(self).__name__} has no rate(base, step); define it in the class")

    def step(self) -> None:
        """Go on to the next step's rate."""
        self.step_count += 1
        self.apply()

    def apply(self) -> None:
        """Give every group its rate of the current step."""
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = self.rate(group["initial_lr"], self.step_count)

    @property
    def lr(self) -> float:
        """The current learning rate of the first group."""
        return self.optimizer.lr

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as JSON can hold it; initial rates are part of the optimizer's state."""
        return {"kind": type(self).__name__, "step": self.step_count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken. Raises ValueError, and changes nothing, for that of another schedule."""
        kind = type(self).__name__
        step = state.get("step")
        if state.get("kind") != kind or not isinstance(step, int) or step < 0:
            raise ValueError(f"{kind}: the state is {dict(state)}; it is not what state_dict() of a {kind} gave")
        self.step_count = step
        self.apply()


class StepSchedule(Schedule):
    """The rate times `gamma` after every `step_size` steps.

    >>> from tinytorch.layers import Parameter
    >>> from tinytorch.optim import SGD
    >>> schedule = StepSchedule(SGD([Parameter([1.0])], lr=1.0), step_size=2, gamma=0.5)
    >>> [schedule.rate(1.0, step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        check_int("StepSchedule", "step_size", step_size, minimum=1)
        check_options("StepSchedule", {"gamma": gamma})
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, base: float, step: int) -> float:
        return float(base * self.gamma ** (step // self.step_size))


class CosineSchedule(Schedule):
    """From the initial rate down to `min_lr` along half a cosine, over `total_steps`; then it stays there.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), equation 5.

    >>> from tinytorch.layers import Parameter
    >>> from tinytorch.optim import SGD
    >>> schedule = CosineSchedule(SGD([Parameter([1.0])], lr=1.0), total_steps=4)
    >>> [round(schedule.rate(1.0, step), 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, min_lr: float = 0.0) -> None:
        check_int("CosineSchedule", "total_steps", total_steps, minimum=1)
        check_options("CosineSchedule", {"min_lr": min_lr})
        self.total_steps, self.min_lr = total_steps, min_lr
        super().__init__(optimizer)

    def rate(self, base: float, step: int) -> float:
        return between(base, self.min_lr, min(step / self.total_steps, 1.0))


class WarmupSchedule(Schedule):
    """From `start_factor` times the rate up to the rate itself in `warmup_steps` equal steps, then what `after` says.

    `after` is another schedule of the same optimizer, which counts from the end of the warmup; call `step()` of this
    one only. Without it the rate stays.

    >>> from tinytorch.layers import Parameter
    >>> from tinytorch.optim import SGD
    >>> optimizer = SGD([Parameter([1.0])], lr=1.0)
    >>> schedule = WarmupSchedule(optimizer, warmup_steps=2, after=StepSchedule(optimizer, step_size=1, gamma=0.5))
    >>> [schedule.rate(1.0, step) for step in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, warmup_steps: int, start_factor: float = 0.0, after: Schedule | None = None
    ) -> None:
        check_int("WarmupSchedule", "warmup_steps", warmup_steps, minimum=1)
        check_options("WarmupSchedule", {"start_factor": start_factor})
        if after is not None and after.optimizer is not optimizer:
            raise ValueError("WarmupSchedule: `after` belongs to another optimizer; attach both to the same one")
        self.warmup_steps, self.start_factor, self.after = warmup_steps, start_factor, after
        super().__init__(optimizer)

    def rate(self, base: float, step: int) -> float:
        if step < self.warmup_steps:
            return base * (self.start_factor + (1 - self.start_factor) * step / self.warmup_steps)
        return base if self.after is None else self.after.rate(base, step - self.warmup_steps)


class OneCycleSchedule(Schedule):
    """Up from `max_lr / div_factor` to `max_lr` and down to the start / `final_div_factor`, along half cosines.

    `warmup_fraction` of `total_steps` go up. While the rate goes up, momentum (or Adam's first beta) goes down from
    `max_momentum` to `base_momentum`, and back; `cycle_momentum=False` leaves it alone. It ends at step
    `total_steps - 1` and stays there.

    Source: Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates"
    (2018), with PyTorch's two phases.

    >>> from tinytorch.layers import Parameter
    >>> from tinytorch.optim import Adam
    >>> schedule = OneCycleSchedule(Adam([Parameter([1.0])]), max_lr=1.0, total_steps=11)
    >>> [round(schedule.rate(0.0, step), 2) for step in (0, 1, 2, 6, 10)]
    [0.04, 0.42, 0.96, 0.53, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float, total_steps: int, warmup_fraction: float = 0.3,
        div_factor: float = 25.0, final_div_factor: float = 1e4, cycle_momentum: bool = True,
        base_momentum: float = 0.85, max_momentum: float = 0.95,
    ) -> None:  # fmt: skip
        check_int("OneCycleSchedule", "total_steps", total_steps, minimum=1)
        check_options("OneCycleSchedule", {"max_lr": max_lr})
        if not 0 <= warmup_fraction <= 1:
            raise ValueError(f"OneCycleSchedule: warmup_fraction={warmup_fraction}; it is a part of 1")
        if cycle_momentum and not all("betas" in group or group.get("momentum") for group in optimizer.param_groups):
            raise ValueError("OneCycleSchedule: the optimizer has no momentum to cycle; pass cycle_momentum=False")
        self.total_steps, self.warmup_fraction = total_steps, warmup_fraction
        self.max_lr, self.start, self.end = max_lr, max_lr / div_factor, max_lr / div_factor / final_div_factor
        self.cycle_momentum, self.base_momentum, self.max_momentum = cycle_momentum, base_momentum, max_momentum
        super().__init__(optimizer)

    def rate(self, base: float, step: int) -> float:
        return self._cycle(step, self.start, self.max_lr, self.end)

    def momentum(self, step: int) -> float:
        """The momentum at `step`."""
        return self._cycle(step, self.max_momentum, self.base_momentum, self.max_momentum)

    def _cycle(self, step: int, first: float, middle: float, last: float) -> float:
        step = min(step, self.total_steps - 1)
        top = self.warmup_fraction * self.total_steps - 1
        if step <= top:
            return between(first, middle, step / top if top else 1.0)
        rest = self.total_steps - 1 - top
        return between(middle, last, (step - top) / rest)

    def apply(self) -> None:
        super().apply()
        if not self.cycle_momentum:
            return
        momentum = self.momentum(self.step_count)
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


def between(first: float, last: float, part: float) -> float:
    """From `first` to `last` along half a cosine, as `part` goes from 0 to 1."""
    return last + (first - last) * (1 + cos(pi * part)) / 2
