"""An iterable worked off in a background thread, a few items ahead of its consumer."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from queue import SimpleQueue
from threading import Event, Semaphore, Thread, current_thread
from typing import TypeVar

Item = TypeVar("Item")


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Done:
    pass


def prefetched(source: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """The items of `source` in their order, up to `depth` of them made ahead of time.

    What `source` raises is raised here, after the items before it. The thread ends with the iteration, also with an
    abandoned one. Raises ValueError when `depth` is below 1.

    >>> list(prefetched("abc", depth=2))
    ['a', 'b', 'c']
    """
    if depth < 1:
        raise ValueError(f"prefetched: depth {depth}; at least one item must fit")
    return _consume(source, depth)


def _consume(source: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    ready: SimpleQueue[Item | _Failed | _Done] = SimpleQueue()
    room = Semaphore(depth)
    abandoned = Event()
    worker = Thread(target=_produce, args=(source, ready, room, abandoned), name="tinytorch-prefetch", daemon=True)
    worker.start()
    try:
        while not isinstance(item := ready.get(), _Done):
            if isinstance(item, _Failed):
                raise item.error
            room.release()
            yield item
    finally:
        abandoned.set()
        room.release()
        if current_thread() is not worker:  # the garbage collector may close an abandoned iteration from any thread
            worker.join()


def _produce(
    source: Iterable[Item], ready: SimpleQueue[Item | _Failed | _Done], room: Semaphore, abandoned: Event
) -> None:
    try:
        items = iter(source)
        while True:
            room.acquire()
            if abandoned.is_set():
                return
            ready.put(next(items))
    except StopIteration:
        ready.put(_Done())
    except BaseException as error:
        ready.put(_Failed(error))
