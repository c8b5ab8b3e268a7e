"""The order of the stages, and what each needs: read from the pyproject files, written nowhere else."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def order() -> list[str]:
    """Every stage, first to last, as `[tool.tinytorch]` in the root pyproject.toml lists them."""
    stages: list[str] = read(ROOT / "pyproject.toml")["tool"]["tinytorch"]["stages"]
    return stages


def folder(stage: str) -> Path:
    return ROOT / "packages" / f"tinytorch-{stage}"


def source(stage: str) -> Path:
    return folder(stage) / "src" / "tinytorch" / stage


def version(stage: str) -> str:
    """What the stage's `__init__.py` says."""
    found = re.search(r'^__version__ = "(.+)"$', (source(stage) / "__init__.py").read_text("utf-8"), re.MULTILINE)
    if not found:
        raise ValueError(f"{stage}: __init__.py does not say __version__")
    return found[1]


def requirements(stage: str) -> list[str]:
    found: list[str] = read(folder(stage) / "pyproject.toml")["project"].get("dependencies", [])
    return found


def needs(stage: str) -> list[str]:
    """The stages that this one declares as its own requirements."""
    names = (re.match(r"tinytorch-([a-z]+)", requirement) for requirement in requirements(stage))
    return [name[1] for name in names if name]


def closure(*stages: str) -> list[str]:
    """These stages and every stage that they need, in order. Raises ValueError for a name that is not a stage."""
    known = order()
    wanted: set[str] = set()
    waiting = list(stages)
    while waiting:
        stage = waiting.pop()
        if stage not in known:
            near = difflib.get_close_matches(stage, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"no stage is called {stage!r}{hint}\nThe stages are: {', '.join(known)}")
        if stage not in wanted:
            wanted.add(stage)
            waiting += needs(stage)
    return [stage for stage in known if stage in wanted]


def test_requirements(*stages: str) -> list[str]:
    """What tests need besides the stages: the common tools, and each stage's own dependency group."""
    common: list[str] = read(ROOT / "pyproject.toml")["dependency-groups"]["test"]
    own = [read(folder(stage) / "pyproject.toml").get("dependency-groups", {}).get("test", []) for stage in stages]
    return list(dict.fromkeys([*common, *(requirement for group in own for requirement in group)]))
