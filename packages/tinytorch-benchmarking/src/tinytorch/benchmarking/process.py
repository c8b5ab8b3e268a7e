"""A function in a process of its own, so that the thread pools of two libraries do not share one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinytorch.tensor import Array, TinyTorchError, check_int

__all__ = ["Worker", "WorkerError"]

THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)  # fmt: skip
"""What tells numerical libraries, when they are loaded, how many threads to use."""


class WorkerError(TinyTorchError, RuntimeError):
    """A worker's process ended before it had answered."""


@dataclass(frozen=True)
class Worker:
    """What to measure in a new process: `target`, as "module:function", is called there once, and returns the function.

    `arguments` are given to `target`; they are what JSON can hold. `threads` is the number of threads of BLAS and other
    pools, None for what the libraries choose; `environment` is added to that of this process. The module is imported
    from where Python finds it: the current folder, PYTHONPATH, what is installed.

    >>> from tinytorch.benchmarking import Worker, compare
    >>> sums = {name: Worker("operator:methodcaller", ["__abs__"]) for name in ("a", "b")}
    >>> sums["a"].target, sums["a"].threads
    ('operator:methodcaller', None)
    """

    target: str
    arguments: tuple[Any, ...] | list[Any] = ()
    threads: int | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_int("Worker", "threads", self.threads, minimum=1)
        if not isinstance(self.target, str) or self.target.count(":") != 1 or not all(self.target.split(":")):
            raise ValueError(f"Worker: target is {self.target!r}; it must be like 'package.module:function'")
        try:
            json.dumps(list(self.arguments))
        except (TypeError, ValueError) as error:
            raise TypeError(f"Worker: arguments are {self.arguments!r}; they are sent as JSON: {error}") from None

    def command(self) -> list[str]:
        """The command line of the process."""
        return [
            sys.executable, "-m", "tinytorch.benchmarking.worker", self.target, json.dumps(list(self.arguments)),
        ]  # fmt: skip

    def variables(self) -> dict[str, str]:
        """The environment of the process."""
        threads = {} if self.threads is None else dict.fromkeys(THREADS, str(self.threads))
        return os.environ | threads | self.environment


class Remote:
    """A worker's process while it lives."""

    def __init__(self, name: str, worker: Worker) -> None:
        self.name = name
        self.pools: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            worker.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=worker.variables()
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def first(self) -> dict[str, Array]:
        """Call the function for the first time; the arrays of its result, by where they stand in it."""
        with TemporaryDirectory(prefix="tinytorch-") as folder:
            file = Path(folder, "result.npz")
            answer = self._ask(do="call", file=str(file))
            self.pools = answer["pools"]
            with np.load(file, allow_pickle=False) as stored:
                return {path: stored[str(index)] for index, path in enumerate(answer["paths"])}

    def arrays(self, result: dict[str, Array]) -> dict[str, Array]:
        """The process has taken it apart already."""
        return result

    def run(self, count: int) -> float:
        """The seconds that `count` calls take, by the clock of the process."""
        return float(self._ask(do="run", count=count)["seconds"])

    def peak(self, calls: int) -> int:
        """The most bytes that were resident during so many calls, beyond those before."""
        return int(self._ask(do="peak", calls=calls)["bytes"])

    def close(self) -> None:
        """End the process: it ends when nothing more is asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            raise WorkerError(f"the worker {self.name!r} ended with exit code {code}; its own error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer
