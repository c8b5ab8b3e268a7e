"""`python -m mutants STAGE …`: how many of a sample of mistakes a stage's own tests do not notice.

A stage is copied; its tests run once on the copy, recording which of them reach which line. Each mistake is then
written into the copy and the tests that reach its line are run, and where those notice nothing, all of them and the
examples. Mistakes that cannot be noticed are listed, with the reason, in `equivalent.toml` beside this file.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import coverage
import hypothesis  # noqa: F401, for the forks
import numpy  # noqa: F401, for the forks
import pytest

from .mutations import Mutation, mutations, reason

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
import stages  # noqa: E402


class Trial:
    """A copy of one stage that mistakes are written into, and what its tests reach."""

    def __init__(self, stage: str, folder: Path, seed: int) -> None:
        self.stage = stage
        self.folder = folder
        self.seed = seed
        self.copy = folder / "src" / "tinytorch" / stage
        self.tests = f"packages/tinytorch-{stage}/tests"
        source = stages.source(stage)
        self.sources = {path.relative_to(source): path.read_bytes() for path in source.rglob("*") if path.is_file()}
        for name, content in self.sources.items():
            (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
            (self.copy / name).write_bytes(content)
        for earlier in stages.order()[: stages.order().index(stage)]:
            importlib.import_module(f"tinytorch.{earlier}")
        self.limit = 0
        began = time.monotonic()
        data = folder / "coverage"
        call = ["--cov", str(self.copy), "--cov-context=test", "--cov-report="]
        if self.run(self.tests, *call, COVERAGE_FILE=str(data)) != 0:
            raise SystemExit(f"{stage}: the tests fail before anything is changed")
        self.limit = int(30 + (time.monotonic() - began))
        reached = coverage.CoverageData(str(data))
        reached.read()
        self.reached = {name: reached.contexts_by_lineno(str(self.copy / name)) for name in self.sources}
        self.breadth = Counter(test for lines in self.reached.values() for tests in lines.values() for test in tests)

    def run(self, *arguments: str, **environment: str) -> int:
        """0 when pytest passes, in a fork that has what the stage needs imported. It is ended when it takes too long,
        as it does where a mistake makes a loop endless."""
        child = os.fork()
        if child == 0:
            signal.alarm(self.limit)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
            os.chdir(ROOT)
            sys.path.insert(0, str(self.folder / "src"))
            path = os.pathsep.join([sys.path[0], os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
            sys.dont_write_bytecode = bool(self.limit)  # from here on the copy has mistakes
            os.environ.update(environment, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1" if self.limit else "")
            for output in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
            call = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir", "."]
            call += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported already
            call += [f"--hypothesis-profile={'lean' if self.limit else 'glance'}", f"--hypothesis-seed={self.seed}"]
            os._exit(pytest.main([*call, *arguments]))
        return os.waitpid(child, 0)[1]

    def is_noticed(self, mutation: Mutation) -> bool:
        """Whether the tests that reach the line, fewest lines first, or the examples notice a mistake. All tests run
        where it is on a line that runs on import, or in another process."""
        name = mutation.path.relative_to(stages.source(self.stage))
        target = self.copy / name
        contexts = {context for line in mutation.lines for context in self.reached[name].get(line, [""])}
        tests = [context.split("|")[0] for context in sorted(contexts, key=lambda each: (self.breadth[each], each))]
        (self.folder / "tests.txt").write_text("\n".join(dict.fromkeys(filter(None, tests))))
        runs = [[f"@{self.folder / 'tests.txt'}"]] * any(tests) + [[self.tests]] * ("" in contexts)
        examples = ["--doctest-modules", "--pyargs", f"tinytorch.{self.stage}"]
        runs.append([*examples, f"packages/tinytorch-{self.stage}/README.md"])
        target.write_bytes(mutation.apply(self.sources[name]))
        try:
            return any(self.run(*arguments) != 0 for arguments in runs)
        finally:
            target.write_bytes(self.sources[name])


def sample(stage: str, count: int, seed: int) -> list[Mutation]:
    """Mistakes of a stage, drawn from all that can be made there; those that cannot be noticed are left out."""
    files = sorted(path for path in stages.source(stage).rglob("*.py"))
    every = [mutation for path in files for mutation in mutations(path) if not reason(stage, mutation)]
    return random.Random(f"{seed} {stage}").sample(every, min(count, len(every)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="which stages (default: all)")
    parser.add_argument("--count", type=int, default=25, help="mistakes per stage (default 25)")
    parser.add_argument("--seed", type=int, default=0, help="which sample (default 0)")
    parser.add_argument("--verbose", action="store_true", help="name each mistake before it is tried")
    arguments = parser.parse_args()
    unknown = set(arguments.stages) - set(stages.order())
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the stages are {', '.join(stages.order())}")
    tried = survived = 0
    for stage in filter(arguments.stages.__contains__, stages.order()) if arguments.stages else stages.order():
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(stage, Path(folder), arguments.seed)
            unnoticed = []
            for mutation in sample(stage, arguments.count, arguments.seed):
                tried += 1
                if arguments.verbose:
                    print(f"try {stage}/{mutation}", flush=True)
                if not trial.is_noticed(mutation):
                    unnoticed.append(mutation)
                    print(f"  {stage}/{mutation}", flush=True)
        survived += len(unnoticed)
        print(f"{stage}: {len(unnoticed)} of {arguments.count} not noticed", flush=True)
    print(f"{survived} of {tried} not noticed: {survived / tried:.1%}")
    return int(survived > 0.03 * tried)


if __name__ == "__main__":
    sys.exit(main())
