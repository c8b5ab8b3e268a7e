"""What the milestones share: how they are called, and how they say what they claim and what they reached."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tinytorch.tensor import manual_seed

console = Console(highlight=False, soft_wrap=True)  # a line stays one line, in a narrow terminal too
STATED = re.compile(r"^claim: (?P<claim>.+)\nreached: (?P<reached>.+)\n(?P<verdict>kept|NOT kept)$", re.MULTILINE)


def parser(words: str | None) -> argparse.ArgumentParser:
    """The options of every milestone; `words` are the docstring of the program."""
    asked = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    asked.add_argument("--quick", action="store_true", help="a smaller run, with a smaller claim where it needs one")
    asked.add_argument("--plot", type=Path, metavar="PATH", help="save a picture, as PNG, SVG or PDF")
    return asked


def add_files(asked: argparse.ArgumentParser) -> None:
    """The options of a milestone whose data is too large to ship."""
    asked.add_argument("--folder", type=Path, help="of the data (default: the cache folder, filled by a download)")
    asked.add_argument("--no-verify", action="store_true", help="take files with other checksums too")


def parse(asked: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments, refuse what would only fail after the training, and seed everything that is drawn."""
    chosen = asked.parse_args(argv)
    if chosen.seed < 0:
        asked.error(f"--seed {chosen.seed}: a seed is 0 or more")
    if chosen.plot:
        check_plot(asked, chosen.plot, ".png", ".svg", ".pdf")
        if find_spec("matplotlib") is None:
            raise SystemExit("a picture needs matplotlib; install it with: pip install matplotlib")
    manual_seed(chosen.seed)
    return chosen


def check_plot(asked: argparse.ArgumentParser, path: Path, *endings: str) -> None:
    """Refuse a path of a picture that could not be written after the training."""
    folder = path.resolve().parent
    if path.suffix.lower() not in endings:
        asked.error(f"--plot {path}: give a name that ends in {' or '.join(endings)}")
    if not folder.is_dir():
        asked.error(f"--plot {path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        asked.error(f"--plot {path}: it cannot be written; choose another path")


def state(claim: str, reached: str, kept: bool) -> int:
    """Print the claim, what was reached, and whether that keeps it; returns the exit code."""
    console.print(f"\nclaim: {claim}\nreached: {reached}", markup=False)
    console.print("[green]kept" if kept else "[bold red]NOT kept")
    return 0 if kept else 1


def fail(error: Exception) -> int:
    """Print why there is no data, as the stage that looked for it says it; returns the exit code."""
    console.print(f"[bold red]no data:[/] {escape(str(error))}")
    return 1


def run(main: Callable[[], int]) -> int:
    """The exit code of `main`; 130 after Ctrl-C."""
    try:
        return main()
    except KeyboardInterrupt:
        console.print("\nInterrupted.")
        return 130
