"""Who is ahead: submissions in the order of a competition's rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from .checks import check_number
from .submission import Submission
from .terminal import columns, framed
from .units import shown

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Competition", "Place", "rank"]

RankBy = Literal["quality", "latency", "speedup", "memory", "size"]
UNITS = {"latency": "s", "memory": "B", "size": "B"}


VALUES: dict[str, Callable[[Submission], float | None]] = {
    "quality": lambda each: each.quality.value,
    "latency": lambda each: each.latency,
    "speedup": lambda each: each.speedup.value,
    "memory": lambda each: each.memory,
    "size": lambda each: each.size,
}


@dataclass(frozen=True)
class Competition:
    """The rules: `rank_by` is what decides; the limits, where there are any, are what a submission must keep.

    `rank_by` is "quality", "latency" (seconds, on one machine), "speedup" (over the reference, which travels between
    machines), "memory" (peak) or "size" (bytes of weights). `quality_at_least` is for metrics of which more is better,
    `quality_at_most` for the others. MLPerf's closed division is `rank_by="latency"` with a limit on quality.
    """

    title: str
    rank_by: RankBy = "quality"
    quality_at_least: float | None = None
    quality_at_most: float | None = None
    latency_at_most: float | None = None
    memory_at_most: float | None = None
    size_at_most: float | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if self.rank_by not in VALUES:
            raise ValueError(f"competition: rank_by is {self.rank_by!r}; it must be one of {', '.join(VALUES)}")
        for name, value in self.limits().items():
            check_number("competition", name, value, low=-float("inf") if name.startswith("quality") else 0.0)

    def limits(self) -> dict[str, float]:
        """The limits that there are, by name."""
        names = ("quality_at_least", "quality_at_most", "latency_at_most", "memory_at_most", "size_at_most")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def problems(self, submission: Submission) -> list[str]:
        """Which limits a submission does not keep, in words."""
        found = []
        for name, limit in self.limits().items():
            what, _, bound = name.partition("_at_")
            value = VALUES[what](submission)
            if value is None or (value < limit if bound == "least" else value > limit):
                label = submission.quality.metric if what == "quality" else what
                seen = "was not measured" if value is None else f"is {figure(what, value)}"
                found.append(f"{label} {seen}, at {bound} {figure(what, limit)} is asked")
        return found

    def rules(self) -> str:
        """The rules in a sentence."""
        limits = [
            f"{name.partition('_at_')[0]} at {name.partition('_at_')[2]} {figure(name.partition('_at_')[0], limit)}"
            for name, limit in self.limits().items()
        ]
        return f"Ranked by {self.rank_by}" + (f", among those with {' and '.join(limits)}." if limits else ".")


def figure(what: str, value: float | None) -> str:
    """A figure of a submission as text."""
    if value is None:
        return "not measured"
    if what in UNITS:
        return shown(value, UNITS[what])
    return f"{value:.3g}x" if what == "speedup" else f"{value:.4g}"


class Place(NamedTuple):
    """A submission and its place from 1; None, with the reasons, for one that does not keep a limit."""

    place: int | None
    submission: Submission
    problems: list[str]


def rank(submissions: Sequence[Submission], competition: Competition) -> list[Place]:
    """The submissions in the order of the rules: the best first, equal ones share a place, then those out of the rules.

    Raises ValueError for submissions that cannot be ranked together: of other competitions, with other metrics, two of
    one team under one title, ranked by latency on different machines, or without the figure that decides.
    """
    _check(submissions, competition)
    value = VALUES[competition.rank_by]
    problems = [competition.problems(each) for each in submissions]
    more = competition.rank_by == "speedup" or (competition.rank_by == "quality" and _higher(submissions))

    def cost(submission: Submission) -> float:
        reached = value(submission)
        if reached is None:
            raise ValueError(f"rank: {submission.title!r} of {submission.team!r} has no {competition.rank_by}")
        return -reached if more else reached

    inside = sorted((each for each, wrong in zip(submissions, problems, strict=True) if not wrong), key=cost)
    costs = [cost(each) for each in inside]
    places = [Place(costs.index(cost(each)) + 1, each, []) for each in inside]
    return places + [Place(None, each, wrong) for each, wrong in zip(submissions, problems, strict=True) if wrong]


def _higher(submissions: Sequence[Submission]) -> bool:
    return submissions[0].quality.higher_is_better


def _check(submissions: Sequence[Submission], competition: Competition) -> None:
    if not submissions:
        raise ValueError("rank: there are no submissions")
    first = submissions[0]
    seen: set[tuple[str, str]] = set()
    for each in submissions:
        if each.competition != competition.title:
            raise ValueError(f"rank: {each.title!r} is for {each.competition!r}, not for {competition.title!r}")
        if (each.quality.metric, each.quality.higher_is_better) != (first.quality.metric, _higher(submissions)):
            raise ValueError(f"rank: {each.title!r} has {each.quality.metric}, {first.title!r} {first.quality.metric}")
        if (each.team, each.title) in seen:
            raise ValueError(f"rank: {each.team!r} has two submissions named {each.title!r}; rename one")
        seen.add((each.team, each.title))
    machines = sorted({str(each.result.machine.get("processor")) for each in submissions})
    if competition.rank_by == "latency" and len(machines) > 1:
        raise ValueError(
            f"rank: latency was measured on {len(machines)} processors: {', '.join(machines)};\n"
            "measure all on one machine, or rank by speedup, which each measured against the reference"
        )


def ranking(places: Sequence[Place], competition: Competition) -> RenderableType:
    """The ranking as a table for `rich.print`."""
    from rich.text import Text

    made = columns(
        "", "submission", "team", places[0].submission.quality.metric, "latency", "speedup", "memory", "size"
    )
    for place, submission, problems in places:
        figures = [
            figure(what, VALUES[what](submission)) for what in ("quality", "latency", "speedup", "memory", "size")
        ]
        cells = ["-" if place is None else str(place), submission.title, submission.team, *figures]
        made.add_row(*map(Text, cells), style="dim" if problems else "")
    outside = [f"{each.submission.title}: {'; '.join(each.problems)}" for each in places if each.problems]
    return framed(competition.title, made, "\n".join([competition.rules(), *outside]))
