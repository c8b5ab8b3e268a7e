"""One side of a benchmark in a process of its own, which runs when it is told to and is asleep otherwise."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import find
from .entry import Step


def numbers(result: Any) -> list[float] | None:
    """The first step's result in a form that can be sent and compared."""
    return None if result is None else np.asarray(result, dtype=np.float64).reshape(-1)[:64].tolist()


def resident(what: str) -> int:
    """VmRSS, the memory that is resident now, or VmHWM, the most that ever was; in bytes. Linux only: proc(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def answer(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def run(step: Step) -> None:
    """Answer each line, a number of runs, with the seconds of one."""
    for line in sys.stdin:
        count = int(line)
        start = time.perf_counter()
        for _ in range(count):
            step()
        answer(seconds=(time.perf_counter() - start) / count)


def main(name: str, side: str) -> None:
    entry = find(name)
    step = entry.ours() if side == "ours" else entry.peer()
    before = resident("VmRSS") if entry.memory else 0
    result = numbers(step())
    if not entry.memory:
        answer(result=result)
        return run(step)
    for _ in range(3):
        step()
    answer(result=result, bytes=resident("VmHWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:3])
