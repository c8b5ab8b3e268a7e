"""Whether something became worse between two files of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinytorch.tensor import check_int

from .checks import check_number
from .estimates import Estimate, Numbers, bootstrap, ranked
from .result import UNITS, Quantity, Result
from .served import ScenarioResult
from .terminal import columns, framed, text
from .units import shown

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Change", "Verdict", "judge"]

Measured = Result | ScenarioResult
Key = tuple[str, str, str]
RESAMPLES = 2000
UNASKED = ("longest_queue", "passes", "queries", "seconds", "seed")
"""Settings that may differ between two runs of a scenario: how long it was measured, and what came of it."""


@dataclass(frozen=True)
class Change:
    """One figure in both files: less is better. `status` is better, worse, same, unclear, missing or added."""

    name: str
    function: str
    quantity: str
    status: str
    old: float | None = None
    new: float | None = None
    unit: str = ""
    ratio: Estimate | None = None


@dataclass(frozen=True)
class Verdict:
    """The changes between two runs, and what follows."""

    changes: tuple[Change, ...]
    threshold: float

    @property
    def ok(self) -> bool:
        """Whether nothing became worse and nothing is missing."""
        return not any(change.status in ("worse", "missing") for change in self.changes)

    def count(self, status: str) -> int:
        """How many changes have this status."""
        return sum(change.status == status for change in self.changes)

    def table(self) -> RenderableType:
        """A table for `rich.print`, which also prints the verdict itself."""
        from rich.text import Text

        names = ("worse", "missing", "unclear", "better", "same", "added")
        counts = ", ".join(f"{self.count(status)} {status}" for status in names if self.count(status))
        under = f"worse: the whole interval of new/old is above {1 + self.threshold:g}; same: all of it is near 1"
        colors = {"worse": "bold red", "missing": "bold red", "better": "green", "unclear": "yellow"}
        made = columns("benchmark", "figure", "old", "new", "new/old", "")
        for change in self.changes:
            values = ["" if each is None else shown(each, change.unit) for each in (change.old, change.new)]
            ratio = "" if change.ratio is None else str(change.ratio)
            cells = [change.name, f"{change.function} {change.quantity}".strip(), *values, ratio]
            made.add_row(*map(Text, cells), Text(change.status, colors.get(change.status, "")))
        return framed(f"{'passed' if self.ok else 'failed'}: {counts}", made, under)

    def __rich__(self) -> RenderableType:
        return self.table()

    def __str__(self) -> str:
        return text(self.table())


def judge(
    old: Sequence[Measured],
    new: Sequence[Measured],
    *,
    threshold: float = 0.05,
    by: Literal["time", "ratio"] = "time",
    confidence: float = 0.95,
    seed: int = 0,
) -> Verdict:
    """Compare what two files hold, by name: times, peaks of memory, latencies of scenarios.

    Each figure's ratio, new to old, has a bootstrap interval over both runs. It is worse when the whole interval is
    above 1 + `threshold`, better when it is below 1 / (1 + `threshold`), the same when it lies between both, and
    otherwise unclear: more turns would tell. A figure that is only in the old file is missing.

    `by="time"` compares times, which takes the same machine and threads in both; `by="ratio"` compares the ratios to
    the baseline of each file, which may be of two machines. Raises ValueError for times of two machines, for scenarios
    that were asked differently, and when nothing is in both.
    """
    check_number("judge", "threshold", threshold)
    check_int("judge", "seed", seed)
    if by not in ("time", "ratio"):
        raise ValueError(f"judge: by is {by!r}; it must be 'time' or 'ratio'")
    before, after = _figures(old, by), _figures(new, by)
    if not before.keys() & after.keys():
        raise ValueError(f"judge: nothing is in both: {_names(old)} before, {_names(new)} after")
    changes = []
    for key in [*before, *(key for key in after if key not in before)]:
        if key in before and key in after:
            changes.append(_change(key, before[key], after[key], threshold, confidence, seed))
        else:
            status, figure = ("missing", before[key]) if key in before else ("added", after[key])
            changes.append(
                Change(
                    *key,
                    status,
                    before[key].value if key in before else None,
                    after[key].value if key in after else None,
                    figure.unit,
                )
            )
    return Verdict(tuple(changes), threshold)


@dataclass(frozen=True)
class _Figure:
    """Numbers that were measured repeatedly, what is made of them, and what must agree for it to be compared."""

    numbers: Numbers
    statistic: Any
    unit: str
    alike: Mapping[str, Any]

    @property
    def value(self) -> float:
        return float(self.statistic(self.numbers, axis=-1))


def _figures(measured: Sequence[Measured], by: str) -> dict[Key, _Figure]:
    found: dict[Key, _Figure] = {}
    for each in measured:
        found |= _of_result(each, by) if isinstance(each, Result) else _of_scenario(each)
    return found


def _of_result(result: Result, by: str) -> dict[Key, _Figure]:
    found: dict[Key, _Figure] = {}
    quantities: tuple[Quantity, ...] = result.quantities
    for name, series in result.series.items():
        for quantity in quantities:
            numbers, unit = np.asarray(series.of(quantity), np.float64), UNITS[quantity]
            alike: dict[str, Any] = {"items": result.settings.get("items")}
            if by == "ratio":
                if name == result.baseline:
                    continue
                numbers, unit = numbers / np.asarray(result.series[result.baseline].of(quantity)), "x"
                alike["baseline"] = result.baseline
            elif quantity == "time":
                alike |= _circumstances(result.machine, series.pools)
            found[result.name, name, quantity] = _Figure(numbers, np.median, unit, alike)
    return found


def _of_scenario(result: ScenarioResult) -> dict[Key, _Figure]:
    asked = {key: value for key, value in result.settings.items() if key not in UNASKED}
    alike = {"scenario": result.scenario, **asked, **_circumstances(result.machine, ())}
    statistic: Any = np.mean if result.scenario == "offline" else partial(ranked, share=result.settings["share"])
    latencies = np.asarray(result.latencies, np.float64)
    return {(result.name, "", "latency"): _Figure(latencies, statistic, "s", alike)}


def _circumstances(machine: Mapping[str, Any], pools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    threads = [pool["threads"] for pool in pools or machine.get("pools", ())]
    return {"processor": machine.get("processor"), "cores": machine.get("usable_cores"), "threads": threads}


def _change(key: Key, old: _Figure, new: _Figure, threshold: float, confidence: float, seed: int) -> Change:
    for what, value in old.alike.items():
        if (now := new.alike.get(what)) != value:
            elsewhere = what in ("processor", "cores", "threads") and "scenario" not in old.alike
            way = "; compare ratios: by='ratio'" if elsewhere else ""
            raise ValueError(f"judge: {key[0]!r} was measured with {what} {value!r} before and {now!r} now{way}")

    def ratio(after: Numbers, before: Numbers, axis: int) -> Any:
        return new.statistic(after, axis=axis) / old.statistic(before, axis=axis)

    if not old.numbers.all():  # bytes can be 0: then only more than 0 is a change
        status = "same" if old.value == new.value else "worse" if new.value > old.value else "better"
        return Change(*key, status, old.value, new.value, old.unit)
    found = bootstrap(ratio, new.numbers, old.numbers, confidence=confidence, resamples=RESAMPLES, generator=seed)
    high, low = 1 + threshold, 1 / (1 + threshold)
    status = "unclear"
    if found.low > high:
        status = "worse"
    elif found.high < low:
        status = "better"
    elif found.low >= low and found.high <= high:
        status = "same"
    return Change(*key, status, old.value, new.value, old.unit, found)


def _names(measured: Sequence[Measured]) -> str:
    return ", ".join(repr(each.name) for each in measured[:5]) or "nothing"
