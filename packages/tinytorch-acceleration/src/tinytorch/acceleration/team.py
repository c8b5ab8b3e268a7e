"""All cores at once: threads that take the blocks of a computation in turns.

The thread that asks works too, and waits at the end only for blocks that others have begun: a thread that wakes late,
because a spinning thread of the matrix library holds its core, delays nothing. Numba's own parallel loops wait for all
of their threads; with two cores and OpenBLAS they took a hundred times longer at times, and some of its layers must not
be used from two threads at once, or after a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import Context, copy_context
from threading import Lock, Semaphore, Thread

Task = Callable[[int], None]


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Job:
    """A task on `count` parts. Taking the next part is one step of the interpreter, so each is taken once."""

    def __init__(self, task: Task, count: int) -> None:
        self.task, self.parts = task, iter(range(count))
        self.error: BaseException | None = None

    def work(self) -> None:
        try:
            for part in self.parts:
                self.task(part)
        except BaseException as error:
            self.error = error  # for the thread that asked
            for _ in self.parts:
                pass  # nobody takes another


class Helper:
    """A thread that waits for jobs."""

    def __init__(self) -> None:
        self.work: tuple[Context, Job] | None = None
        self.called, self.busy = Semaphore(0), Lock()
        Thread(target=self._wait, name="tinytorch-kernels", daemon=True).start()

    def call(self, job: Job) -> None:
        self.work = copy_context(), job  # what `np.errstate` says holds in all threads of a job
        self.called.release()

    def _wait(self) -> None:
        while True:
            self.called.acquire()
            with self.busy:
                work, self.work = self.work, None
                if work is not None:
                    context, job = work
                    context.run(job.work)
                    del context, job
                del work  # it holds arrays


class Team:
    """As many helpers as there are cores besides the one that asks; made when they are first needed."""

    def __init__(self) -> None:
        self.helpers: list[Helper] | None = None
        self.lock = Lock()

    def share(self, task: Task, count: int) -> None:
        """Call `task(part)` for every part below `count`, in any order, on several cores at once."""
        job = Job(task, count)
        if not self.lock.acquire(blocking=False):  # other threads compute already: this one is enough for its job
            job.work()
        else:
            try:
                if self.helpers is None:
                    self.helpers = [Helper() for _ in range(usable_cores() - 1)]
                called = self.helpers[: count - 1]
                for helper in called:
                    helper.call(job)
                job.work()
                for helper in called:
                    helper.work = None  # who comes too late finds nothing
                    with helper.busy:  # who came in time finishes its part
                        pass
            finally:
                self.lock.release()
        if job.error is not None:
            raise job.error


_team = Team()


def _leave_threads_behind() -> None:
    global _team
    _team = Team()  # a fork copies no threads, and locks as they were


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_threads_behind)


def share(task: Task, count: int) -> None:
    """Call `task(part)` for every part below `count`, in any order, on all cores; return when all are done.

    Raises what a task raised; then other parts may not have been computed.

    >>> done = []
    >>> share(done.append, 4)
    >>> sorted(done)
    [0, 1, 2, 3]
    """
    _team.share(task, count)
