"""States of any nesting as JSON and arrays, and back, unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytorch.tensor import Array


def pack(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """`value` as JSON can hold it, with its arrays and NumPy scalars in `arrays`.

    Raises TypeError for what could not come back as it was; `name` stands for `value` in the message.

    >>> arrays = {}
    >>> packed = pack({1: (2.0, np.ones(2))}, "state", arrays)
    >>> packed, unpack(packed, arrays)
    ({'$items': [[1, {'$tuple': [2.0, {'$array': '0'}]}]]}, {1: (2.0, array([1., 1.]))})
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        arrays[key := str(len(arrays))] = np.array(value)
        return {"$array" if isinstance(value, np.ndarray) else "$scalar": key}
    if type(value) in (list, tuple):
        parts = [pack(part, f"{name}[{place}]", arrays) for place, part in enumerate(value)]
        return parts if type(value) is list else {"$tuple": parts}
    if type(value) is dict:
        items = [[pack(k, f"a key of {name}", arrays), pack(v, f"{name}[{k!r}]", arrays)] for k, v in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key in value)
        return dict(items) if plain else {"$items": items}
    raise TypeError(f"checkpoint: {name} is a {type(value).__name__}; a state is made of None, numbers, text,\n"
                    "arrays of numbers, lists, tuples and dicts")  # fmt: skip


def unpack(value: Any, arrays: Mapping[str, Array]) -> Any:
    """What was packed."""
    if isinstance(value, list):
        return [unpack(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    match next(iter(value.items()), None):
        case "$array" | "$scalar" as tag, key:
            return arrays[key] if tag == "$array" else arrays[key][()]
        case "$tuple", parts:
            return tuple(unpack(parts, arrays))
        case "$items", items:
            return {unpack(key, arrays): unpack(part, arrays) for key, part in items}
    return {key: unpack(part, arrays) for key, part in value.items()}
