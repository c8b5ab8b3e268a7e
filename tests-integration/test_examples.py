"""Every public name is documented, and every example in the packages is one that the test runs find."""

import ast
import doctest
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # stages.py belongs to no package
import stages

every_stage = pytest.mark.parametrize("stage", stages.order())


def modules(stage: str) -> Iterator[ModuleType]:
    package = importlib.import_module(f"tinytorch.{stage}")
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


@every_stage
def test_public_names_are_documented(stage: str) -> None:
    package = importlib.import_module(f"tinytorch.{stage}")
    public = {name: getattr(package, name) for name in package.__all__}
    own = {name: thing for name, thing in public.items() if callable(thing) and not isinstance(thing, type(list[int]))}
    assert not [name for name, thing in own.items() if not thing.__doc__ or thing.__doc__ == type(thing).__doc__]


@every_stage
def test_examples_are_found(stage: str) -> None:
    def written(module: ModuleType) -> int:
        assert module.__file__
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
        return sum(">>> " in (ast.get_docstring(node) or "") for node in nodes)

    def found(module: ModuleType) -> int:
        return sum(bool(test.examples) for test in doctest.DocTestFinder().find(module))

    counts = {module.__name__: (written(module), found(module)) for module in modules(stage)}
    assert {name: pair for name, pair in counts.items() if pair[0] != pair[1]} == {}
    assert sum(pair[0] for pair in counts.values()) > 0, "no example in the whole stage"
