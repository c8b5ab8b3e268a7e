"""What an optimizer remembers, as flat names and arrays, and back: first everything is checked, then it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinytorch.tensor import Array, ShapeError

from .buckets import Group, Memory


class Saved(NamedTuple):
    """What was saved of one group."""

    options: Group
    steps: list[int]  # behind each parameter
    arrays: list[dict[str, Array]]  # of each parameter, by name


def collect(kind: str, groups: Sequence[Group], memories: Sequence[Memory]) -> dict[str, Any]:
    arrays: dict[str, Array] = {}
    entries = []
    for group, memory in zip(groups, memories, strict=True):
        for member in range(len(memory.params)):
            for name in memory.state:
                arrays[f"{memory.first + member}.{name}"] = memory.view(member, name).copy()
        entries.append({
            "options": {name: value for name, value in group.items() if name != "params"},
            "params": list(memory.names),
            "shapes": [list(shape) for shape in memory.shapes],
            "states": list(memory.state),
            "steps": list(memory.steps),
        })  # fmt: skip
    return {"arrays": arrays, "meta": {"kind": kind, "groups": entries}}


def open_state(kind: str, saved: Any, part: str) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """The entries under `part` and the arrays of what `state_dict()` of an optimizer of this kind gave."""
    try:
        found, entries, arrays = saved["meta"]["kind"], saved["meta"].get(part), dict(saved["arrays"])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError(f"{kind}: this is not what state_dict() of an optimizer gave; nothing was loaded") from None
    if found != kind or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{kind}: the state was saved by {found}; load it into an optimizer of that kind")
    return entries, arrays


def read(kind: str, saved: Any, groups: Sequence[Group], memories: Sequence[Memory]) -> list[Saved]:
    """The groups of a state, when they fit those that are here; options are not checked. Changes nothing."""
    entries, arrays = open_state(kind, saved, "groups")
    if len(entries) != len(memories):
        raise ValueError(f"{kind}: the state has {len(entries)} groups, the optimizer {len(memories)}")
    found = []
    for number, (entry, group, memory) in enumerate(zip(entries, groups, memories, strict=True)):
        missing = {"options", "params", "shapes", "states", "steps"} - entry.keys()
        if missing:
            raise ValueError(f"{kind}: group {number} of the state lacks {min(missing)!r}; nothing was loaded")
        shapes = [list(shape) for shape in memory.shapes]
        if entry["shapes"] != shapes or not len(entry["params"]) == len(entry["steps"]) == len(shapes):
            raise ShapeError(f"{kind}: group {number} of the state has shapes {entry['shapes']}, here {shapes}")
        for there, here in zip(entry["params"], memory.names, strict=True):
            if there and here and there != here:
                raise ValueError(f"{kind}: the state of {there!r} would go to {here!r}; give them in the saved order")
        options = {name: _as_here(group.get(name), value) for name, value in entry["options"].items()}
        parts = [{name: _take(kind, arrays, memory, m, name) for name in entry["states"]} for m in range(len(shapes))]
        found.append(Saved(options, list(entry["steps"]), parts))
    if arrays:
        raise ValueError(f"{kind}: the state has {min(arrays)!r}, which this optimizer does not keep")
    return found


def _take(kind: str, arrays: dict[str, Array], memory: Memory, member: int, name: str) -> Array:
    key, shape, dtype = f"{memory.first + member}.{name}", memory.shapes[member], memory.dtypes[member]
    value = arrays.pop(key, None)
    if value is None or np.shape(value) != shape or value.dtype != dtype:
        seen = "missing" if value is None else f"{np.shape(value)} {value.dtype}"
        wanted = f"{memory.label(member)} is {shape} {dtype}"
        raise ValueError(f"{kind}: state {key} is {seen}, {wanted}; nothing was loaded")
    return value


def _as_here(here: Any, value: Any) -> Any:
    """JSON has no tuples: what was one becomes one again."""
    return tuple(value) if isinstance(here, tuple) else value
