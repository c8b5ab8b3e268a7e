"""A clock of in-place writes: code that kept an array can ask whether it was written to since.

Writes are rare and reads of the clock are many, so the clock is one integer, and what was written is noted by the array
that owns the memory: every view of it counts as written.
"""

from __future__ import annotations

import functools
import weakref

import numpy as np

from .dtypes import Array

now = 0
"""What `clock()` shows, for code that runs at every operation; rebound at every write."""

_written: dict[int, tuple[weakref.ref[Array], list[int]]] = {}  # by the owner's id: the owner, and when it was last


def clock() -> int:
    """How many in-place writes there have been."""
    return now


def note_write(*arrays: Array) -> None:
    """Say that the memory of `arrays` has been written to."""
    global now
    now += 1
    for array in arrays:
        owner = array if array.base is None else _owner(array)
        key = id(owner)
        if key in _written:
            _written[key][1][0] = now
        else:
            _written[key] = (weakref.ref(owner, functools.partial(_forget, key)), [now])


def _forget(key: int, _: weakref.ref[Array]) -> None:
    _written.pop(key, None)


def written_since(array: Array, moment: int) -> bool:
    """Whether the memory of `array` was written to after `clock()` showed `moment`.

    >>> data = np.zeros(3)
    >>> moment = clock()
    >>> note_write(data[1:])
    >>> written_since(data, moment), written_since(np.zeros(3), moment)
    (True, False)
    """
    if moment == now:
        return False
    found = _written.get(id(_owner(array)))
    return found is not None and found[1][0] > moment


def _owner(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
