"""A package declares what it imports, wherever in a module it does, and imports what it declares."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import stages
from packaging.requirements import Requirement
from packaging.version import Version

every_stage = pytest.mark.parametrize("stage", stages.order())


def imported(source: str) -> Iterator[str]:
    """The distributions that a module imports: at its top, inside functions, and by a name that is a string."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        for name in names:
            top, *rest = name.split(".")
            if top != "tinytorch":
                yield top
            elif rest:
                yield f"tinytorch-{rest[0]}"


def uses(stage: str) -> set[str]:
    """What the source of a stage imports besides itself and the standard library."""
    files = stages.source(stage).rglob("*.py")
    names = {name for path in files for name in imported(path.read_text(encoding="utf-8"))}
    return {name for name in names if name not in sys.stdlib_module_names} - {f"tinytorch-{stage}"}


def shows(stage: str) -> set[str]:
    """What the examples in a stage's README import."""
    readme = (stages.folder(stage) / "README.md").read_text(encoding="utf-8")
    return {name for example in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) for name in imported(example)}


def declared(stage: str) -> set[str]:
    project = stages.read(stages.folder(stage) / "pyproject.toml")["project"]
    extras = project.get("optional-dependencies", {}).values()
    return {Requirement(each).name for group in (project["dependencies"], *extras) for each in group}


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import numpy as np
from tinytorch.layers import Module
from . import sibling
def late():
    import matplotlib.figure
    importlib.import_module("tinytorch.data")
"""
    assert set(imported(source)) == {"numpy", "tinytorch-layers", "matplotlib", "tinytorch-data"}


@every_stage
def test_imported_is_declared_and_declared_is_imported_or_shown(stage: str) -> None:
    assert uses(stage) <= declared(stage)
    assert declared(stage) <= uses(stage) | shows(stage)


@every_stage
def test_oldest_sibling_that_is_allowed_is_the_one_that_is_tested(stage: str) -> None:
    """Every environment installs the siblings of this repository: a range that goes back further promises too much."""
    for requirement in map(Requirement, stages.requirements(stage)):
        if requirement.name.startswith("tinytorch-"):
            [floor] = [part.version for part in requirement.specifier if part.operator == ">="]
            assert Version(floor) == Version(stages.version(requirement.name.removeprefix("tinytorch-"))), requirement


def test_no_module_is_imported_by_a_name_that_is_computed() -> None:
    """Such an import is seen by none of the checks of boundaries."""
    for path in Path(stages.ROOT / "packages").glob("*/src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
                assert node.args and isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"
