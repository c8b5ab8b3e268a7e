"""`python -m mutants STAGE …`: how many of a sample of mistakes a stage's own tests do not notice.

A stage is copied; its tests run once on the copy, recording which of them reach which line. Each mistake is then
written into the copy and the tests that reach its line are run, and where those notice nothing, all of them and the
examples. Mistakes that cannot be noticed are listed, with the reason, in `equivalent.toml` beside this file.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import coverage

from .mutations import Mutation, mutations

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
        began = time.monotonic()
        data = folder / "coverage"
        call = ["--cov", str(self.copy), "--cov-context=test", "--cov-report="]
        if self.run(self.tests, *call, COVERAGE_FILE=str(data)) != 0:
            raise SystemExit(f"{stage}: the tests fail before anything is changed")
        self.limit = 30 + 5 * (time.monotonic() - began)
        self.reached = coverage.CoverageData(str(data))
        self.reached.read()

    def run(self, *arguments: str, **environment: str) -> int:
        """pytest's exit code; 1 when it takes too long, as it does where a mistake makes a loop endless."""
        call = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
        call += [
            "-c",
            "pyproject.toml",
            "--rootdir",
            ".",
            "--hypothesis-profile=lean",
            f"--hypothesis-seed={self.seed}",
        ]
        path = os.pathsep.join([str(self.folder / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        settings = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        try:
            done = subprocess.run(
                [*call, *arguments], cwd=ROOT, env=settings, capture_output=True, timeout=getattr(self, "limit", None)
            )
        except subprocess.TimeoutExpired:
            return 1
        return done.returncode

    def is_noticed(self, mutation: Mutation) -> bool:
        name = mutation.path.relative_to(stages.source(self.stage))
        target = self.copy / name
        contexts = self.reached.contexts_by_lineno(str(target)).get(mutation.line, [])
        tests = sorted({context.split("|")[0] for context in contexts if context})
        target.write_bytes(mutation.apply(self.sources[name]))
        try:
            if tests:
                (self.folder / "tests.txt").write_text("\n".join(tests))
                if self.run(f"@{self.folder / 'tests.txt'}") != 0:
                    return True
            examples = ["--doctest-modules", "--pyargs", f"tinytorch.{self.stage}"]
            readme = f"packages/tinytorch-{self.stage}/README.md"
            return self.run(self.tests) != 0 or self.run(*examples, readme) != 0
        finally:
            target.write_bytes(self.sources[name])


def sample(stage: str, count: int, seed: int) -> list[Mutation]:
    """Mistakes of a stage, drawn from all that can be made there; those that cannot be noticed are left out."""
    files = sorted(path for path in stages.source(stage).rglob("*.py"))
    every = [mutation for path in files for mutation in mutations(path) if not is_equivalent(stage, mutation)]
    return random.Random(f"{seed} {stage}").sample(every, min(count, len(every)))


EQUIVALENT = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8"))


def is_equivalent(stage: str, mutation: Mutation) -> bool:
    """Whether `equivalent.toml` says why nothing can notice this mistake: by file and by the line's code."""
    lines = EQUIVALENT.get(stage, {}).get(mutation.path.name, {})
    code = mutation.path.read_text(encoding="utf-8").splitlines()[mutation.line - 1]
    return any(part in code for part in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="which stages (default: all)")
    parser.add_argument("--count", type=int, default=25, help="mistakes per stage (default 25)")
    parser.add_argument("--seed", type=int, default=0, help="which sample (default 0)")
    arguments = parser.parse_args()
    unknown = set(arguments.stages) - set(stages.order())
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the stages are {', '.join(stages.order())}")
    tried = survived = 0
    for stage in arguments.stages or stages.order():
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(stage, Path(folder), arguments.seed)
            unnoticed = []
            for mutation in sample(stage, arguments.count, arguments.seed):
                tried += 1
                if not trial.is_noticed(mutation):
                    unnoticed.append(mutation)
                    print(f"  {stage}/{mutation}", flush=True)
        survived += len(unnoticed)
        print(f"{stage}: {len(unnoticed)} of {arguments.count} not noticed", flush=True)
    print(f"{survived} of {tried} not noticed: {survived / tried:.1%}")
    return int(survived > 0.03 * tried)


if __name__ == "__main__":
    sys.exit(main())
