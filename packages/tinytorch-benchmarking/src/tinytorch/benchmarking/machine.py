"""The machine that a measurement was made on, and how busy other processes kept it."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Usage", "machine", "pools", "processor"]

SETTINGS = ("OPENBLAS_", "MKL_", "BLIS_", "NPY_", "OMP_", "NUMBA_", "VECLIB_")
"""Variables of the environment that begin like this change how fast numerical libraries are."""


def machine() -> dict[str, Any]:
    """What decides how fast things run here: processor, cores, memory, system, Python, NumPy, its BLAS, settings.

    `cores` are those of the machine, `usable_cores` those that this process may use. `pools` are the thread pools of
    numerical libraries that are loaded, each with its version and number of threads.

    >>> sorted(machine())
    ['cores', 'memory', 'numpy', 'pools', 'processor', 'python', 'settings', 'system', 'usable_cores']
    """
    import psutil  # type: ignore[import-untyped]

    return {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory": int(psutil.virtual_memory().total),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "pools": pools(),
        "settings": {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)},
    }


def processor() -> str:
    """The name that the processor gives itself; where the system does not tell it, its architecture."""
    if platform.system() == "Linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        call = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def pools() -> list[dict[str, Any]]:
    """The thread pools in this process, by threadpoolctl: library, version, kernels' architecture, threads."""
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    return [
        {
            "library": str(pool["internal_api"]),
            "version": str(pool.get("version") or "unknown"),
            "architecture": str(pool.get("architecture") or "unknown"),
            "threads": int(pool["num_threads"]),
        }
        for pool in threadpool_info()
    ]


def pools_text(found: Iterable[Mapping[str, Any]]) -> str:
    """Thread pools in words, each kind once.

    >>> pools_text([{"library": "openblas", "threads": 1}, {"library": "openmp", "threads": 2}])
    'openblas on 1 thread, openmp on 2 threads'
    """
    kinds = dict.fromkeys((str(pool["library"]), int(pool["threads"])) for pool in found)
    return ", ".join(f"{library} on {n} {'thread' if n == 1 else 'threads'}" for library, n in kinds)


class Usage:
    """How many cores the processes of others used since this was made; `own` are further processes that are ours.

    A machine's busy time without the processor time of this process and of `own`, by psutil, per second.
    """

    def __init__(self, own: Iterable[int] = ()) -> None:
        self._own = (os.getpid(), *own)
        self._start = self._read()

    def others(self) -> float:
        """Cores, on average: 1.0 is one core kept busy all the time."""
        elapsed, busy, ours = (now - then for now, then in zip(self._read(), self._start, strict=True))
        return max(0.0, (busy - ours) / elapsed) if elapsed > 0 else 0.0

    def _read(self) -> tuple[float, float, float]:
        import psutil

        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in user already
        ours = [psutil.Process(pid).cpu_times() for pid in self._own]
        return time.monotonic(), sum(times) - guest - idle, sum(each.user + each.system for each in ours)
