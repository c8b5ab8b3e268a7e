"""One side of a benchmark in a process of its own, which runs when it is told to and is asleep otherwise."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from .catalogue import find


def numbers(result: Any) -> list[float] | None:
    """The first step's result in a form that can be sent and compared."""
    return None if result is None else np.asarray(result, dtype=np.float64).reshape(-1)[:64].tolist()


def main(name: str, side: str) -> None:
    entry = find(name)
    step = entry.ours() if side == "ours" else entry.peer()
    print(json.dumps({"result": numbers(step())}), flush=True)
    for line in sys.stdin:
        count = int(line)
        start = time.perf_counter()
        for _ in range(count):
            step()
        print(json.dumps({"seconds": (time.perf_counter() - start) / count}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
