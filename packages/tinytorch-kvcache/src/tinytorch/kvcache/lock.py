"""`StepLock`: one step of a cache at a time."""

from __future__ import annotations

import threading
from typing import Any


class StepLock:
    """A lock that its own thread may take again; a copy is a lock of its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return StepLock, ()
