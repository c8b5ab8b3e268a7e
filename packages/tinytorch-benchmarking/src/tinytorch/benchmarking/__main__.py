"""`python -m tinytorch.benchmarking`: files of results shown and compared, submissions checked and ranked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch.tensor import TinyTorchError

from .competition import VALUES, Competition, rank, ranking
from .page import write_page
from .records import load
from .submission import Submission, load_submission
from .verdict import judge

if TYPE_CHECKING:
    from rich.console import Console

PASSED, FAILED, UNUSABLE = 0, 1, 2
LIMITS = {
    "quality_at_least": "least quality, where more is better",
    "quality_at_most": "most of a quality of which less is better",
    "latency_at_most": "longest median time, in seconds",
    "memory_at_most": "largest peak of memory, in bytes",
    "size_at_most": "most bytes of weights",
}


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
    check = commands.add_parser(
        "validate", help="check submissions", description="Check submissions: schema, seal, figures.",
        epilog="Exit code 0: all are whole. 2: one of them is not.",
    )  # fmt: skip
    check.set_defaults(run=validate_files)
    table = commands.add_parser("rank", help="rank submissions", description="Rank submissions, and write a page.")
    for each in (check, table):
        each.add_argument("files", type=Path, nargs="+")
        each.add_argument("--key", type=Path, help="a file with the key that the submissions were sealed with")
    table.add_argument("--page", type=Path, help="write the ranking here, as one HTML page")
    table.add_argument("--by", default="quality", choices=list(VALUES), help="what decides (default quality)")
    table.add_argument("--about", default="", help="a sentence for the head of the page")
    for limit in LIMITS:
        table.add_argument(f"--{limit.replace('_', '-')}", type=float, metavar="X", help=LIMITS[limit])
    table.set_defaults(run=rank_files)
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


def validate_files(options: argparse.Namespace, console: Console) -> int:
    for path, each in zip(options.files, submissions(options), strict=True):
        console.print(f"{path}: {each.title} of {each.team}, whole", markup=False)
    return PASSED


def rank_files(options: argparse.Namespace, console: Console) -> int:
    found = submissions(options)
    limits = {limit: getattr(options, limit) for limit in LIMITS}
    competition = Competition(found[0].competition, rank_by=options.by, about=options.about, **limits)
    console.print(ranking(rank(found, competition), competition))
    if options.page is not None:
        write_page(options.page, found, competition)
    return PASSED


def submissions(options: argparse.Namespace) -> list[Submission]:
    """What the files hold; the key is all bytes of its file, without the end of its line."""
    key = None if options.key is None else options.key.read_bytes().strip()
    return [load_submission(path, key) for path in options.files]


if __name__ == "__main__":
    sys.exit(main())
