"""Ctrl-C and SIGTERM without torn states."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

DEFAULTS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interruption:
    """In the with block the first Ctrl-C or SIGTERM is noted in `requested`, the second one raises at once.

    So a step under way can be finished. At the end of the block KeyboardInterrupt is raised for Ctrl-C, and SystemExit
    with a shell's exit code for SIGTERM. Outside the main thread, or where the program handles a signal itself, nothing
    is changed.
    """

    def __init__(self) -> None:
        self.requested = 0  # the number of the signal
        self._replaced: list[int] = []

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._replaced = [number for number, default in DEFAULTS.items() if signal.getsignal(number) == default]
            for number in self._replaced:
                signal.signal(number, self._remember)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number in self._replaced:
            signal.signal(number, DEFAULTS[number])
        if self.requested and kind is None:
            self._end()

    def _end(self) -> NoReturn:
        raise KeyboardInterrupt if self.requested == signal.SIGINT else SystemExit(128 + self.requested)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = self.requested, number
        if again:
            self._end()
