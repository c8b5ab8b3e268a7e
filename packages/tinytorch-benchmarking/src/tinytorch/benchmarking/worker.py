"""The process of a `Worker`: it makes one function, runs it when it is told to, and sleeps otherwise.

    python -m tinytorch.benchmarking.worker MODULE:FUNCTION ARGUMENTS_AS_JSON

It reads lines of JSON, `{"do": "call", "file": path}`, `{"do": "run", "count": n}` or `{"do": "peak", "calls": n}`, and
answers each with one line. What the function prints goes to the standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

import numpy as np

from .equality import flatten
from .machine import pools
from .memory import resident_peak

Step = Callable[[], Any]


def call(step: Step, file: str) -> dict[str, Any]:
    """Run once, and leave the result's arrays in `file` (.npz), the paths of which are the answer."""
    found = flatten(step())
    arrays: dict[str, Any] = {str(index): array for index, array in enumerate(found.values())}
    np.savez(file, **arrays)
    return {"paths": list(found), "pools": pools()}


def run(step: Step, count: int) -> dict[str, Any]:
    """The seconds that `count` calls take together."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return {"seconds": time.perf_counter() - start}


def peak(step: Step, calls: int) -> dict[str, Any]:
    """The peak of memory during a few calls."""
    return {"bytes": resident_peak(step, calls)}


DO: dict[str, Callable[..., dict[str, Any]]] = {"call": call, "run": run, "peak": peak}


def main(target: str, arguments: str) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the function prints does not mix with the answers
    step = resolve_name(target)(*json.loads(arguments))
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(DO[order.pop("do")](step, **order)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
