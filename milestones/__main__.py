"""Run the milestones in their quick form, and show in a table what each claims and what it reached.

hatch run milestones              all of them, in one or two minutes
hatch run milestones 1957 1969    those of some years
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import claims
from rich.table import Table

from tinytorch.data.datasets import cache_folder
from tinytorch.data.datasets.cifar10 import ARCHIVE
from tinytorch.data.datasets.mnist import FILES

HERE = Path(__file__).resolve().parent
NEEDED = {  # nothing is downloaded here; the programs themselves do that
    "mlp_mnist": [file.name for pair in FILES.values() for file in pair],
    "lecun_cifar10": [ARCHIVE.name],
}


def programs() -> list[tuple[str, Path]]:
    """The year and the path of each program, in the order of history."""
    found = sorted(HERE.glob("[0-9]*_[0-9]*_*/*.py"))
    return [(path.parent.name.split("_")[1], path) for path in found if "__main__" in path.read_text(encoding="utf-8")]


def row(program: Path, seed: int, plots: Path | None) -> tuple[list[str], str]:
    """Run one program: the last columns of its row, and what it printed if it failed."""
    if missing := [name for name in NEEDED.get(program.stem, []) if not (cache_folder() / name).exists()]:
        return ["", f"not run: no {missing[0]} in {cache_folder()}; the program itself fetches it", "", "no data"], ""
    call = [sys.executable, str(program), "--quick", "--seed", str(seed)]
    call += ["--plot", str(plots / f"{program.stem}.svg")] if plots else []
    started = perf_counter()
    with tempfile.TemporaryDirectory() as folder:  # for the files that it saves besides pictures
        done = subprocess.run(
            call, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    seconds = f"{perf_counter() - started:.1f}"
    stated = claims.STATED.search(done.stdout)
    columns = [stated["claim"], stated["reached"], seconds] if stated else ["no claim when quick", "", seconds]
    if done.returncode == 0:
        return [*columns, "[green]kept" if stated else "ran"], ""
    return [*columns, "[bold red]NOT kept" if stated else "[bold red]failed"], f"\n{program.name}:\n{done.stdout}"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 when every program that ran keeps its claim, 1 when one does not."""
    known = programs()
    years = sorted({year for year, _ in known})
    asked = argparse.ArgumentParser(
        "hatch run milestones", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("years", nargs="*", metavar="YEAR", help=f"{', '.join(years)} (default: all)")
    asked.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    asked.add_argument("--plots", type=Path, metavar="FOLDER", help="save the picture of each there")
    chosen = asked.parse_args(argv)
    if unknown := sorted({*chosen.years} - {*years}):
        asked.error(f"no milestone of {', '.join(unknown)}; there are {', '.join(years)}")
    if chosen.plots:
        chosen.plots.mkdir(parents=True, exist_ok=True)
        chosen.plots = chosen.plots.resolve()

    table = Table("year", "program", "claim", "reached", "seconds", "")
    complaints = []
    for year, program in known:
        if year in (chosen.years or years):
            with claims.console.status(f"{year} {program.stem}"):
                columns, complaint = row(program, chosen.seed, chosen.plots)
            table.add_row(year, program.stem, *columns)
            complaints += [complaint] if complaint else []
    claims.console.print(table, soft_wrap=False)
    claims.console.print(*complaints, sep="", end="", markup=False)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(claims.run(main))
