"""`python -m benchmarks NAME …`: measure, print a table, and write JSON where asked."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .catalogue import entries
from .harness import measure


def main() -> None:
    known = entries()
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help=f"which, or the beginning of several: {', '.join(known)} (default: all)"
    )
    parser.add_argument("--turns", type=int, default=9, help="turns of each side (default 9)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    chosen = [name for name in known if not arguments.names or name.startswith(tuple(arguments.names))]
    if not chosen:
        parser.error(f"no benchmark begins with {' or '.join(arguments.names)}; there are {', '.join(known)}")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "settings": settings() or "none",
    }
    console = Console()
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()))
    results = []
    for name in chosen:
        results.append(measure(known[name], arguments.turns))
        console.print(line(results[-1]))
    Console(width=max(console.width, 150)).print(table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


def settings() -> str:
    """What the environment tells the numerical libraries besides the number of threads: it may force older kernels."""
    told = {name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "MKL_", "NPY_"))}
    return " ".join(f"{name}={value}" for name, value in sorted(told.items()) if not name.endswith("_NUM_THREADS"))


def line(result: dict[str, Any]) -> str:
    return f"{result['name']}: {result['figure']:.2f} {result['unit']} ({result['verdict']})"


def table(results: list[dict[str, Any]]) -> Table:
    """One row a benchmark: medians, and the lowest and highest turn."""
    shown = Table("benchmark", "ours", "peer", "peer is", "threads", "figure", "target", "")
    for r in results:
        target = f"{r['target']:g}" + (f" (at worst {r['worst']:g})" if r["worst"] else "")
        sides = [
            f"{s['median']:.4g} {r['scale']} ({s['low']:.3g} to {s['high']:.3g})" for s in (r["ours"], r["theirs"])
        ]
        shown.add_row(
            r["name"], *sides, r["peer"], str(r["threads"]), f"{r['figure']:.2f} {r['unit']}", target, r["verdict"]
        )
    return shown


if __name__ == "__main__":
    main()
