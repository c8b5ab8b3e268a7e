"""`python -m benchmarks NAME …`: measure, print a table, and write JSON where asked.

`python -m tinytorch.benchmarking compare OLD.json NEW.json` says what became slower between two such files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tinytorch.benchmarking import Result, machine, save
from tinytorch.benchmarking.units import shown

from .catalogue import entries
from .entry import Entry


def main() -> None:
    known = entries()
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", help=f"which, or the beginning of several: {', '.join(known)} (default: all)"
    )
    parser.add_argument("--turns", type=int, default=9, help="turns of each side, at least 2 (default 9)")
    parser.add_argument("--json", type=Path, help="also write what was measured here")
    arguments = parser.parse_args()
    chosen = [entry for name, entry in known.items() if name.startswith(tuple(arguments.names) or "")]
    if not chosen:
        parser.error(f"no benchmark begins with {' or '.join(arguments.names)}; there are {', '.join(known)}")
    if arguments.turns < 2:
        parser.error(f"--turns is {arguments.turns}; at least 2 are needed for an interval")
    console = Console()
    console.print(about(), markup=False)
    results = []
    for entry in chosen:
        results.append(entry.benchmark(arguments.turns).run())
        console.print(line(entry, results[-1]), markup=False)
        if arguments.json:
            save(arguments.json, *results)  # after each: a long run that is ended keeps what it measured
    Console(width=max(console.width, 170)).print(table(list(zip(chosen, results, strict=True))))


def about() -> str:
    """The machine, and what the environment tells numerical libraries: it may force older kernels."""
    found = machine()
    told = " ".join(f"{name}={value}" for name, value in found["settings"].items() if not name.endswith("_NUM_THREADS"))
    cores = f"{found['usable_cores']} of {found['cores']} cores"
    return f"{found['processor']}, {cores}, {found['python']}, NumPy {found['numpy']}, settings {told or 'none'}"


def line(entry: Entry, result: Result) -> str:
    figure = entry.figure(result)
    return "; ".join([f"{entry.name}: {figure} {entry.unit} ({entry.verdict(figure.value)})", *result.notes])


def table(measured: list[tuple[Entry, Result]]) -> Table:
    """One row a benchmark: medians, the lowest and highest turn, and the figure with its interval."""
    shown_table = Table("benchmark", "ours", "peer", "peer is", "threads", "figure", "target", "")
    for entry, result in measured:
        target = f"{entry.target:g}" + (f" (at worst {entry.worst:g})" if entry.worst else "")
        figure = entry.figure(result)
        shown_table.add_row(
            entry.name, side(result, "ours"), side(result, "peer"), entry.peer_name, str(entry.threads),
            Text(f"{figure} {entry.unit}"), target, entry.verdict(figure.value),
        )  # fmt: skip
    return shown_table


def side(result: Result, name: str) -> str:
    quantity = result.quantities[0]
    values = result.series[name].of(quantity)
    middle, low, high = (
        shown(each, result.unit(quantity)) for each in (result.series[name].median(quantity), min(values), max(values))
    )
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    main()
