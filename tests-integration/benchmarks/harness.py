"""Two sides in turn, A B A B: a comparison that holds when the speed of the machine drifts.

Each side is a process of its own, so that the thread pools of two libraries do not share one; while one runs, the other
waits for its turn without spinning. The figure of a side is the median of its turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

from .entry import Entry

TURN = 0.25  # seconds of work in a turn
REST = 0.05  # seconds for the other side's threads to fall asleep


class Side:
    """A worker process and the times it has reported."""

    def __init__(self, entry: Entry, side: str) -> None:
        threads = str(entry.threads)
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        command = [sys.executable, "-m", "benchmarks.worker", entry.name, side]
        self.side, self.calls = side, entry.calls
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        first = self._read()
        self.result, self.bytes = first["result"], first.get("bytes", 0)
        self.times: list[float] = []
        self.count = 1

    def warm(self) -> None:
        """Run until a turn takes about its time, and forget what was measured."""
        seconds = self.turn()
        for _ in range(2):
            self.count = max(1, round(TURN / seconds))
            seconds = self.turn()
        self.times.clear()

    def turn(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{self.count}\n")
        self.process.stdin.flush()
        seconds: float = self._read()["seconds"]
        self.times.append(seconds / self.calls)
        time.sleep(REST)
        return seconds

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.side} ended with exit code {self.process.wait()}; its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(entry: Entry, turns: int) -> dict[str, Any]:
    """Run both sides in turn and return the medians, their ratio and how far they scattered.

    Raises RuntimeError when the two sides do not compute the same.
    """
    if entry.memory:
        return measure_memory(entry)
    ours, peer = Side(entry, "ours"), Side(entry, "peer")
    try:
        check(entry, ours.result, peer.result)
        ours.warm()
        peer.warm()
        for _ in range(turns):
            ours.turn()
            peer.turn()
    finally:
        ours.close()
        peer.close()
    a, b = median(ours.times), median(peer.times)
    if entry.difference:
        return report(entry, (a - b) * 1e6, "us more", "ms", *([t * 1e3 for t in side.times] for side in (ours, peer)))
    figure = median(x / y for x, y in zip(ours.times, peer.times, strict=True))
    return report(entry, figure, "of its time", "ms", *([t * 1e3 for t in side.times] for side in (ours, peer)))


def measure_memory(entry: Entry, runs: int = 3) -> dict[str, Any]:
    """The peak that a few steps add to a process that holds the model, on both sides, each run in a new process."""
    ours, peer = [], []
    for _ in range(runs):
        for name, found in (("ours", ours), ("peer", peer)):
            side = Side(entry, name)
            side.close()
            found.append(side)
    check(entry, ours[0].result, peer[0].result)
    sizes = [[side.bytes / 2**20 for side in sides] for sides in (ours, peer)]
    return report(entry, median(sizes[0]) / median(sizes[1]), "of its memory", "MiB", *sizes)


def report(entry: Entry, figure: float, unit: str, scale: str, ours: list[float], peer: list[float]) -> dict[str, Any]:
    """The figures of an entry beside its target; `ours` and `peer` in the unit `scale`."""
    limit = entry.target if entry.worst is None else entry.worst
    return {
        "name": entry.name,
        "peer": entry.peer_name,
        "threads": entry.threads,
        "scale": scale,
        "ours": {"median": median(ours), "low": min(ours), "high": max(ours)},
        "theirs": {"median": median(peer), "low": min(peer), "high": max(peer)},
        "figure": figure,
        "unit": unit,
        "target": entry.target,
        "worst": entry.worst,
        "verdict": "met" if figure <= entry.target else "within the worst" if figure <= limit else "missed",
    }


def check(entry: Entry, ours: list[float] | None, peer: list[float] | None) -> None:
    """Refuse to compare the speed of two sides that get different results."""
    if ours is None or peer is None:
        return
    far = [abs(x - y) > entry.tolerance * max(1.0, abs(y)) for x, y in zip(ours, peer, strict=True)]
    if any(far):
        raise RuntimeError(f"{entry.name}: the sides compute different things, {ours[:4]} and {peer[:4]}")
