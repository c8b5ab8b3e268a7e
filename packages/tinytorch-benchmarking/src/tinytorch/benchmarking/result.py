"""What was measured: the turns of every function, their ratios, and where and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .estimates import Estimate, Outliers, bootstrap, outliers
from .machine import pools_text
from .terminal import columns, framed, text
from .units import shown

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Result", "Series"]

Quantity = Literal["time", "memory"]
UNITS: dict[str, str] = {"time": "s", "memory": "B"}


@dataclass(frozen=True)
class Series:
    """The turns of one function."""

    times: tuple[float, ...] = ()
    """Seconds of one call, or of one item of it, turn by turn."""
    calls: int = 1
    """How many calls a turn made."""
    peaks: tuple[int, ...] = ()
    """Bytes at the peak of memory, each time it was measured."""
    pools: tuple[Mapping[str, Any], ...] = ()
    """The thread pools of numerical libraries where it ran."""

    def of(self, quantity: Quantity) -> tuple[float, ...]:
        """The times, or the peaks."""
        return self.times if quantity == "time" else self.peaks

    def median(self, quantity: Quantity = "time") -> float:
        """The middle of the times in seconds, or of the peaks in bytes."""
        return float(np.median(self.of(quantity)))

    @cached_property
    def outliers(self) -> Outliers:
        """How many of the times lie outside of Tukey's fences."""
        return outliers(self.times)


@dataclass(frozen=True)
class Result:
    """One benchmark: the `series` of each function, by name; ratios are to `baseline`.

    `settings` say how it was measured, `machine` on what, `others` how many cores the processes of others used
    meanwhile (None where that is not known) and `load` the system's load average before.
    """

    name: str
    baseline: str
    series: Mapping[str, Series]
    settings: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    others: float | None = None
    load: float | None = None
    when: str = ""

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """What was measured of every function."""
        known: tuple[Quantity, ...] = ("time", "memory")
        return tuple(each for each in known if all(series.of(each) for series in self.series.values()))

    def ratio(self, name: str, quantity: Quantity = "time") -> Estimate:
        """The time, or the memory, of a function in units of the baseline's: the median over turns of their ratio.

        The two that are divided were measured in the same turn, so the machine's drift is in both. The interval is the
        percentile bootstrap's over turns. Raises KeyError for a name that was not measured.
        """
        return self._against(name, quantity, lambda a, b: a / b)

    def difference(self, name: str, quantity: Quantity = "time") -> Estimate:
        """The same for the difference to the baseline, in seconds or bytes."""
        return self._against(name, quantity, lambda a, b: a - b)

    def _against(self, name: str, quantity: Quantity, combine: Any) -> Estimate:
        series, base = self._series(name).of(quantity), self._series(self.baseline).of(quantity)
        if not series or not base:
            raise ValueError(f"{self.name}: no {quantity} was measured; there is {' and '.join(self.quantities)}")
        return bootstrap(
            np.median,
            combine(np.asarray(series, np.float64), np.asarray(base, np.float64)),
            confidence=float(self.settings.get("confidence", 0.95)),
            generator=int(self.settings.get("seed", 0)),
        )

    def unit(self, quantity: Quantity) -> str:
        """What a quantity is measured in: seconds, "s", or bytes, "B"."""
        return UNITS[quantity]

    def _series(self, name: str) -> Series:
        if name not in self.series:
            raise KeyError(f"{self.name} has no {name!r}; it measured {', '.join(self.series)}")
        return self.series[name]

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know before believing the figures: other processes, outliers, short turns."""
        found = []
        if self.others is not None and self.others > 0.2:
            found.append(
                f"other processes kept {self.others:.1f} of {self.machine.get('cores', '?')} cores busy meanwhile"
            )
        for name, series in self.series.items():
            far = series.outliers.far_low + series.outliers.far_high if series.times else 0
            if far:
                found.append(f"{name}: {far} of {len(series.times)} turns lie far outside of the others")
        if not self.settings.get("checked", True):
            found.append("the results were not all compared")
        return found

    def table(self) -> RenderableType:
        """A table for `rich.print`, which also prints the result itself."""
        return _table(self)

    def __rich__(self) -> RenderableType:
        return self.table()

    def __str__(self) -> str:
        return text(self.table())


def _table(result: Result) -> RenderableType:
    """One row for each function: median, range, outliers, and the ratio to the baseline with its interval."""
    from rich.text import Text

    titles = {"time": ("time", "lowest to highest", "outliers", "ratio"), "memory": ("peak memory", "ratio")}
    made = columns("function", *(title for quantity in result.quantities for title in titles[quantity]))
    for name, series in result.series.items():
        cells = [name]
        for quantity in result.quantities:
            cells.append(shown(series.median(quantity), UNITS[quantity]))
            if quantity == "time":
                low, high = (shown(limit(series.times), "s") for limit in (min, max))
                cells += [f"{low} to {high}", str(series.outliers.total or "")]
            cells.append(_ratio(result, name, quantity))
        made.add_row(*map(Text, cells))
    return framed(result.name, made, _caption(result))


def _ratio(result: Result, name: str, quantity: Quantity) -> str:
    return "1" if name == result.baseline else str(result.ratio(name, quantity))


def _caption(result: Result) -> str:
    """How and where: turns, confidence, machine, threads; then what must be known before believing it."""
    settings, about = result.settings, result.machine
    lines = []
    if settings:
        lines.append(f"{settings['turns']} turns, ratios with {settings['confidence']:.0%} intervals")
    if about:
        pools = [pool for series in result.series.values() for pool in series.pools] or about["pools"]
        where = [about["processor"], f"{about['usable_cores']} cores", pools_text(pools), f"NumPy {about['numpy']}"]
        lines.append(", ".join(filter(None, [*where, about["python"]])))
    return "\n".join(lines + result.notes)
