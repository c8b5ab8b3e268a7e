"""Results in files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tinytorch.tensor import FileFormatError

from . import documents
from .result import Result, Series
from .served import ScenarioResult

__all__ = ["load", "save"]


Measured = Result | ScenarioResult


def save(path: str | os.PathLike[str], *results: Measured) -> None:
    """Write results to a JSON file, which is replaced in one step. The schema is in the package's folder `schemas`.

    Raises FileFormatError when two results have one name or a name cannot stand in a file, OSError when the file
    cannot be written. Then the file is as it was.
    """
    _check_names("save", results)
    document = {
        "format": "tinytorch-benchmark",
        "version": 1,
        "results": [encoded(each) for each in results if isinstance(each, Result)],
        "scenarios": [encoded_scenario(each) for each in results if isinstance(each, ScenarioResult)],
    }
    documents.write(path, document, "results")


def load(path: str | os.PathLike[str]) -> list[Measured]:
    """The results in a file that `save` wrote: comparisons, then scenarios.

    Raises FileFormatError for a file that is something else, is damaged, or contradicts itself: medians that are not
    those of its times, turns that are missing, a baseline that was not measured.
    """
    document = documents.read(path, "results")
    results: list[Measured] = [decoded(each, str(path)) for each in document["results"]]
    results += [decoded_scenario(each, str(path)) for each in document["scenarios"]]
    _check_names(str(path), results)
    return results


def encoded(result: Result) -> dict[str, Any]:
    """A result as JSON holds it: what was measured, and its medians for readers of other programs."""
    return {
        "name": result.name,
        "baseline": result.baseline,
        "when": result.when,
        "settings": dict(result.settings),
        "machine": dict(result.machine),
        "others": result.others,
        "load": result.load,
        "series": {
            name: {
                "times": list(series.times),
                "calls": series.calls,
                "peaks": list(series.peaks),
                "pools": [dict(pool) for pool in series.pools],
                "summary": _summary(series),
            }
            for name, series in result.series.items()
        },
    }


def decoded(document: Mapping[str, Any], owner: str) -> Result:
    """The result in a document that fits the schema, unless it contradicts itself: FileFormatError."""
    series = {}
    settings = document["settings"]
    head = f"{owner}: {document['name']!r}"
    for name, each in document["series"].items():
        made = Series(tuple(each["times"]), each["calls"], tuple(each["peaks"]), tuple(each["pools"]))
        for what, found in (("turns", made.times), ("peaks", made.peaks)):
            if len(found) != settings[what]:
                raise FileFormatError(f"{head}, {name!r}: {len(found)} {what}, where the settings say {settings[what]}")
        _check_summary(f"{head}, {name!r}", each["summary"], _summary(made))
        series[name] = made
    if document["baseline"] not in series:
        raise FileFormatError(f"{head}: the baseline {document['baseline']!r} is none of its {len(series)} functions")
    if settings["turns"] < 2 and settings["peaks"] < 2:
        raise FileFormatError(f"{head}: there are not two measurements of anything")
    rest = {name: document[name] for name in ("name", "baseline", "settings", "machine", "others", "load", "when")}
    return Result(series=series, **rest)


def encoded_scenario(result: ScenarioResult) -> dict[str, Any]:
    """A scenario's result as JSON holds it."""
    names = ("name", "scenario", "samples", "seconds", "others", "when")
    return {name: getattr(result, name) for name in names} | {
        "latencies": list(result.latencies),
        "settings": dict(result.settings),
        "machine": dict(result.machine),
        "summary": {"figure": result.figure, "unit": result.unit, "holds": result.holds},
    }


def decoded_scenario(document: Mapping[str, Any], owner: str) -> ScenarioResult:
    """The scenario's result in a document that fits the schema, unless it contradicts itself: FileFormatError."""
    fields = {name: value for name, value in document.items() if name != "summary"}
    made = ScenarioResult(**fields | {"latencies": tuple(document["latencies"])})
    head, written = f"{owner}: {made.name!r}", document["summary"]
    if made.scenario != "offline" and max(made.latencies) > made.seconds * (1 + 1e-9):
        raise FileFormatError(f"{head}: a latency of {max(made.latencies):g} s in a run of {made.seconds:g} s")
    if made.scenario == "offline" and not made.seconds:
        raise FileFormatError(f"{head}: {made.samples} samples in no time")
    true = {"figure": made.figure, "unit": made.unit, "holds": made.holds}
    alike = math.isclose(written["figure"], made.figure, rel_tol=1e-9)
    if not alike or any(written[key] != true[key] for key in ("unit", "holds")):
        raise FileFormatError(f"{head}: the summary says {written}, but what was measured gives {true}")
    return made


def _summary(series: Series) -> dict[str, float]:
    found = {}
    if series.times:
        found["time"] = series.median("time")
    if series.peaks:
        found["memory"] = series.median("memory")
    return found


def _check_summary(head: str, written: Mapping[str, float], true: Mapping[str, float]) -> None:
    if written.keys() != true.keys():
        raise FileFormatError(f"{head}: a summary of {sorted(written)}, where {sorted(true)} was measured")
    for quantity, value in true.items():
        if not math.isclose(written[quantity], value, rel_tol=1e-9):
            raise FileFormatError(
                f"{head}: the summary says {quantity} {written[quantity]:g}, but the median of what was measured is "
                f"{value:g};\nthe file was changed after it was written: measure again"
            )


def _check_names(owner: str, results: Sequence[Measured]) -> None:
    seen: set[str] = set()
    for result in results:
        if result.name in seen:
            raise FileFormatError(f"{owner}: two results are named {result.name!r}; give each a name of its own")
        seen.add(result.name)
