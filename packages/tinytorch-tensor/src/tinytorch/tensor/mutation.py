"""A clock of in-place writes: who kept an array can ask whether it was written to since.

Writes are rare and reads of the clock are many, so the clock is one integer, and what was written is noted by the array
that owns the memory: every view of it counts as written.
"""

from __future__ import annotations

import weakref

import numpy as np

from .dtypes import Array

_now = 0
_written: dict[int, tuple[weakref.ref[Array], int]] = {}


def clock() -> int:
    """How many in-place writes there have been."""
    return _now


def note_write(array: Array) -> None:
    """Say that the memory of `array` has been written to."""
    global _now
    _now += 1
    owner = _owner(array)
    key = id(owner)
    _written[key] = (weakref.ref(owner, lambda _: _written.pop(key, None)), _now)


def written_since(array: Array, moment: int) -> bool:
    """Whether the memory of `array` was written to after `clock()` showed `moment`.

    >>> data = np.zeros(3)
    >>> moment = clock()
    >>> note_write(data[1:])
    >>> written_since(data, moment), written_since(np.zeros(3), moment)
    (True, False)
    """
    if moment == _now:
        return False
    found = _written.get(id(_owner(array)))
    return found is not None and found[1] > moment


def _owner(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
