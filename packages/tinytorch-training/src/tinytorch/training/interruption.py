"""Ctrl-C without torn states."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """In the with block the first Ctrl-C is remembered in `requested`; the second raises KeyboardInterrupt at once.

    A step that is under way can so be finished. Outside the main thread, or where the program handles SIGINT itself,
    nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False

    def __enter__(self) -> Interruption:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._remember)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            signal.default_int_handler(number, frame)
        self.requested = True
