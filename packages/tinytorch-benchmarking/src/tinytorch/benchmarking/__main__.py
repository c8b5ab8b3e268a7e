"""`python -m tinytorch.benchmarking`: files of results, shown and compared."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch.tensor import TinyTorchError

from .records import load
from .verdict import judge

if TYPE_CHECKING:
    from rich.console import Console

PASSED, FAILED, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    from rich.console import Console

    options = parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        code: int = options.run(options, console)
    except (TinyTorchError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    return code


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    made = argparse.ArgumentParser(prog="python -m tinytorch.benchmarking", description=__doc__)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    compare = commands.add_parser(
        "compare", help="say what became worse", description="Say what became worse from OLD to NEW.",
        epilog="Exit code 0: nothing became worse. 1: something did, or is missing. 2: the files cannot be compared.",
    )  # fmt: skip
    compare.add_argument("old", type=Path)
    compare.add_argument("new", type=Path)
    compare.add_argument("--threshold", type=float, default=0.05, help="a change up to this share counts as the same")
    ways = "compare times, of one machine (the default), or the ratios to each file's baseline"
    compare.add_argument("--by", choices=["time", "ratio"], default="time", help=ways)
    compare.add_argument("--strict", action="store_true", help="fail too where more turns are needed to tell")
    compare.set_defaults(run=compare_files)
    show = commands.add_parser("show", help="print what files hold", description="Print what files of results hold.")
    show.add_argument("files", type=Path, nargs="+")
    show.set_defaults(run=show_files)
    return made


def compare_files(options: argparse.Namespace, console: Console) -> int:
    verdict = judge(load(options.old), load(options.new), threshold=options.threshold, by=options.by)
    console.print(verdict)
    return PASSED if verdict.ok and not (options.strict and verdict.count("unclear")) else FAILED


def show_files(options: argparse.Namespace, console: Console) -> int:
    for path in options.files:
        for result in load(path):
            console.print(result)
    return PASSED


if __name__ == "__main__":
    sys.exit(main())
