"""An iterable worked off in a background thread, a few items ahead of its consumer."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from queue import SimpleQueue
from threading import Event, Semaphore, Thread, current_thread
from typing import TypeVar

from tinytorch.tensor import check_int

Item = TypeVar("Item")
PATIENCE = 0.5  # seconds


class _Ended:
    def __init__(self, reason: BaseException) -> None:
        self.reason = reason  # StopIteration after the last item, else what the source raised


def prefetched(source: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """The items of `source` in their order, up to `depth` of them made ahead of time.

    What `source` raises is raised here, after the items before it. The thread ends with the iteration; that of an
    abandoned iteration ends after the item that it is making, which is waited for `PATIENCE` seconds at most. Raises
    TypeError or ValueError when `depth` is not an int from 1.

    >>> list(prefetched("abc", depth=2))
    ['a', 'b', 'c']
    """
    return _consume(source, check_int("prefetched", "depth", depth, minimum=1))


def _consume(source: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    ready: SimpleQueue[Item | _Ended] = SimpleQueue()
    room = Semaphore(depth)
    abandoned = Event()
    worker = Thread(target=_produce, args=(source, ready, room, abandoned), name="tinytorch-prefetch", daemon=True)
    worker.start()
    try:
        while not isinstance(item := ready.get(), _Ended):
            room.release()
            yield item
        if not isinstance(item.reason, StopIteration):
            raise item.reason
    finally:
        abandoned.set()
        room.release()
        if current_thread() is not worker:  # the garbage collector may close an abandoned iteration from any thread
            worker.join(PATIENCE)


def _produce(source: Iterable[Item], ready: SimpleQueue[Item | _Ended], room: Semaphore, abandoned: Event) -> None:
    try:
        items = iter(source)
        while True:
            room.acquire()
            if abandoned.is_set():
                return
            ready.put(next(items))
    except BaseException as error:
        ready.put(_Ended(error))
