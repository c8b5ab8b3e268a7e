"""The order of the work: which values are computed in one pass over the data, and which need an earlier pass.

A sum or maximum along the last axis is finished within a row. Any other is finished when all rows are, so what depends
on it waits for the next sweep. Nothing else is kept between sweeps: values are computed from the inputs where needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from .graph import Axis, Value, closure, order_axes, settle


@dataclass(eq=False)
class Sweep:
    """One pass over the elements of the axes `over`, which computes `targets`: sums over many rows, and results."""

    over: tuple[Axis, ...]
    targets: list[Value] = field(default_factory=list)


@dataclass(eq=False)
class Plan:
    """The sweeps that compute `outputs` from `inputs`; `groups` are axes that always occur together, as one."""

    inputs: list[Value]
    outputs: list[Value]
    groups: list[list[Axis]]
    sweeps: list[Sweep]
    values: list[Value]

    def dims(self, value: Value) -> tuple[Axis, ...]:
        """The grouped axes of a value, in order."""
        axes = set(value.axes())
        return tuple(group[0] for group in self.groups if group[0] in axes)

    def varies(self, value: Value) -> frozenset[Axis]:
        """The grouped axes along which a value's numbers differ."""
        return frozenset(group[0] for group in self.groups if group[0] in value.varies)

    def over(self, value: Value) -> frozenset[Axis]:
        """The grouped axes that a sum or maximum reduces."""
        over = {axis.find() for axis in value.over}
        return frozenset(group[0] for group in self.groups if group[0] in over)

    def in_row(self, value: Value) -> bool:
        """Whether a value is a sum or maximum that is finished within a row."""
        if value.operation not in ("sum", "max"):
            return False
        last = self.groups[-1][0]
        return self.over(value) == {last} and len(self.dims(value.values[0])) > 1

    def across(self, value: Value) -> bool:
        """Whether a value is a sum or maximum that is finished when all rows are."""
        return value.operation in ("sum", "max") and not self.in_row(value)

    def leaf(self, value: Value) -> bool:
        """Whether a value is in memory: an input, a number of elements, or what an earlier sweep left."""
        return value.operation in ("input", "count") or self.across(value)

    def work(self, target: Value) -> Value:
        """What a sweep computes for a target at each element."""
        return target.values[0] if self.across(target) else target

    def within(self, values: Iterable[Value]) -> list[Value]:
        """These values and what they are computed from, down to what is in memory; inputs first."""
        found: dict[int, Value] = {}
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if id(value) not in found:
                found[id(value)] = value
                if not self.leaf(value):
                    waiting.extend(value.values)
        return sorted(found.values(), key=lambda value: value.number)


def plan(inputs: list[Value], outputs: list[Value]) -> Plan:
    """How to compute `outputs`. Raises Refusal where values do not have their axes in one order."""
    values = closure(outputs)
    settle(values)
    axes = order_axes([*values, *inputs])
    result = Plan(inputs, outputs, _group(axes, [*values, *inputs]), [], values)
    level: dict[Value, int] = {}
    for value in values:
        level[value] = max((level[each] for each in value.values), default=0) + result.across(value)
    targets = {value: level[value] - 1 for value in values if result.across(value)}
    targets |= {value: level[value] for value in outputs if not result.leaf(value)}
    turns = [(turn, _iterates(result, target), target) for target, turn in targets.items()]
    place = {group[0]: number for number, group in enumerate(result.groups)}

    def order(turn: tuple[int, tuple[Axis, ...], Value]) -> Any:
        return turn[0], [place[axis] for axis in turn[1]], turn[2].number

    for (_, over), together in groupby(sorted(turns, key=order), key=lambda turn: turn[:2]):
        result.sweeps.append(Sweep(over, [target for _, _, target in together]))
    return result


def _group(axes: list[Axis], values: list[Value]) -> list[list[Axis]]:
    """Neighboring axes that every value has both or neither of, and reduces both or neither of."""
    uses = {axis: [] for axis in axes}  # type: dict[Axis, list[bool]]
    for value in values:
        own, over = set(value.axes()), {axis.find() for axis in value.over}
        for axis in axes:
            uses[axis] += [axis in own, axis in over]
    groups: list[list[Axis]] = []
    for axis in axes:
        if groups and uses[groups[-1][0]] == uses[axis]:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


def _iterates(plan: Plan, target: Value) -> tuple[Axis, ...]:
    """The axes that a sweep goes over to compute `target`."""
    work = plan.work(target)
    axes = set(plan.dims(work))
    for value in plan.within([work]):
        axes |= plan.varies(value)
        if plan.in_row(value):
            axes |= set(plan.dims(value.values[0]))
    return tuple(group[0] for group in plan.groups if group[0] in axes)
