"""What a scenario measured: latencies, throughput, and whether the run holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .estimates import percentile, percentile_bound
from .terminal import columns, framed, text
from .units import shown

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["ScenarioResult"]

CONFIDENCE = 0.99  # in a percentile, as MLPerf's rule of early stopping has it
SHARES = (0.5, 0.9, 0.95, 0.97, 0.99, 0.999)


@dataclass(frozen=True)
class ScenarioResult:
    """The latencies of queries, in seconds and in their order (of an offline run, of its batches).

    `samples` is how many samples were answered in `seconds`, `settings` how they were asked, `machine` by what, and
    `others` how many cores the processes of others used meanwhile.
    """

    name: str
    scenario: str
    latencies: tuple[float, ...]
    samples: int
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    others: float | None = None
    when: str = ""

    @property
    def throughput(self) -> float:
        """Samples per second."""
        return self.samples / self.seconds if self.seconds > 0 else float("inf")

    def percentile(self, share: float) -> float:
        """The latency in seconds that this share of the queries did not exceed."""
        return percentile(self.latencies, share)

    @property
    def figure(self) -> float:
        """What the scenario is about: a latency in seconds, the rate of a server in queries per second, or, offline,
        samples per second."""
        if self.scenario == "server":
            return float(self.settings["rate"])
        return self.throughput if self.scenario == "offline" else self.percentile(self.settings["share"])

    @property
    def unit(self) -> str:
        """The unit of the figure."""
        return {"server": "queries/s", "offline": "samples/s"}.get(self.scenario, "s")

    @cached_property
    def reached(self) -> float | None:
        """What the percentile of the settings does not exceed, with 99 % confidence; None for too few queries."""
        return percentile_bound(self.latencies, self.settings["share"], CONFIDENCE)

    @cached_property
    def problems(self) -> list[str]:
        """Why the run does not hold; empty when it does."""
        if self.scenario == "offline":
            return []
        share, reached = self.settings["share"], self.reached
        if reached is None:
            count = len(self.latencies)
            return [f"{count} queries are too few to know the {100 * share:g} % percentile with 99 % confidence"]
        bound = self.settings.get("bound")
        if bound is not None and reached > bound:
            return [
                f"the {100 * share:g} % percentile of latencies is {shown(self.percentile(share), 's')}, at most "
                f"{shown(reached, 's')} with 99 % confidence; {shown(bound, 's')} are allowed"
            ]
        return []

    @property
    def holds(self) -> bool:
        """Whether there were enough queries for the percentile, and a server kept its bound."""
        return not self.problems

    def table(self) -> RenderableType:
        """A table for `rich.print`, which also prints the result itself."""
        about = f"{self.samples} samples in {shown(self.seconds, 's')}"
        if self.machine:
            cores = f"{self.machine['usable_cores']} cores"
            about += f"\n{self.machine['processor']}, {cores}, NumPy {self.machine['numpy']}"
        verdict = "holds" if self.holds else "; ".join(self.problems)
        rows = [("lowest", min(self.latencies)), *((f"{100 * share:g} %", self.percentile(share)) for share in SHARES)]
        made = columns("latency", "seconds")
        for label, value in [*rows, ("highest", max(self.latencies))]:
            made.add_row(label, shown(value, "s"))
        return framed(f"{self.name}: {shown(self.figure, self.unit)} ({verdict})", made, about)

    def __rich__(self) -> RenderableType:
        return self.table()

    def __str__(self) -> str:
        return text(self.table())
