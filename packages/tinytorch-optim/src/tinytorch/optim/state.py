"""What an optimizer remembers, as flat names and arrays, and back: all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch.tensor import Array

from .blocks import Rows

if TYPE_CHECKING:
    from .optimizer import Optimizer


def collect(optimizer: Optimizer) -> dict[str, Any]:
    arrays: dict[str, Array] = {}
    groups = []
    first = 0
    for group, rows, names in zip(optimizer.param_groups, optimizer.rows, optimizer.names, strict=True):
        for member in range(len(rows.params)):
            for name in rows.rows:
                arrays[f"{first + member}.{name}"] = rows.state_of(member, name).copy()
        options = {name: value for name, value in group.items() if name != "params"}
        shapes = [list(p.shape) for p in rows.params]
        groups.append({"options": options, "params": list(names), "shapes": shapes, "steps": list(rows.steps)})
        first += len(rows.params)
    return {"arrays": arrays, "meta": {"kind": optimizer.kind, "groups": groups}}


def restore(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    kind = optimizer.kind
    entries, arrays = _opened(kind, saved)
    if len(entries) != len(optimizer.rows):
        raise ValueError(f"{kind}: the state has {len(entries)} groups, the optimizer {len(optimizer.rows)}")
    expected: set[str] = set()
    options = []
    first = 0
    for number, (entry, rows) in enumerate(zip(entries, optimizer.rows, strict=True)):
        shapes = [list(p.shape) for p in rows.params]
        if entry["shapes"] != shapes or len(entry["steps"]) != len(shapes):
            raise ValueError(
                f"{kind}: group {number} of the state has parameters of shapes {entry['shapes']}, here {shapes}"
            )
        group = optimizer.param_groups[number]
        options.append({name: _like(group.get(name), value) for name, value in entry["options"].items()})
        merged = {**group, **options[-1]}
        optimizer.validate(merged)
        for member in range(len(rows.params)):
            for name in {*optimizer.states(merged), *rows.rows}:
                expected.add(f"{first + member}.{name}")
                _check(kind, arrays, f"{first + member}.{name}", rows, member, optimizer.names[number][member])
        first += len(rows.params)
    if arrays.keys() - expected:
        raise ValueError(f"{kind}: the state has {min(arrays.keys() - expected)!r}, which this optimizer does not keep")

    first = 0
    for group, rows, entry, chosen in zip(optimizer.param_groups, optimizer.rows, entries, options, strict=True):
        group.update(chosen)
        rows.allot(optimizer.states(group))
        for member in range(len(rows.params)):
            for name in rows.rows:
                rows.state_of(member, name)[...] = arrays[f"{first + member}.{name}"]
        rows.steps = list(entry["steps"])
        rows.forget_plan()
        first += len(rows.params)


def _opened(kind: str, saved: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, Array]]:
    try:
        meta, arrays = saved["meta"], saved["arrays"]
        there, entries = meta["kind"], list(meta["groups"])
        complete = all({"options", "shapes", "steps"} <= entry.keys() for entry in entries)
    except (KeyError, TypeError, AttributeError):
        complete = False
    if not complete:
        raise ValueError(f"{kind}: this is not what state_dict() of an optimizer gave; nothing was loaded")
    if there != kind:
        raise ValueError(f"{kind}: the state is of {there}; make the optimizer that it was taken from")
    return entries, arrays


def _check(kind: str, arrays: Mapping[str, Array], key: str, rows: Rows, member: int, label: str) -> None:
    shape, dtype = rows.params[member].shape, rows.dtypes[member]
    value = arrays.get(key)
    if value is None or np.shape(value) != shape or value.dtype != dtype:
        seen = "missing" if value is None else f"{np.shape(value)} {value.dtype}"
        raise ValueError(f"{kind}: state {key} is {seen}, {label} is {shape} {dtype}; nothing was loaded")


def _like(here: Any, value: Any) -> Any:
    """JSON knows no tuples: what was one becomes one again."""
    return tuple(value) if isinstance(here, tuple) else value
