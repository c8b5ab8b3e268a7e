"""Within a stage no module imports, over others, itself: what stands on the ground does not need what stands on it."""

import ast
from pathlib import Path

import pytest
import stages

ORDER = stages.order()


def modules(stage: str) -> dict[str, Path]:
    source = stages.ROOT / "packages" / f"tinytorch-{stage}" / "src"
    parts = {path: path.relative_to(source).with_suffix("").parts for path in source.rglob("*.py")}
    return {".".join(names[:-1] if names[-1] == "__init__" else names): path for path, names in parts.items()}


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that a module imports when it is run; what is for type checkers only, or within functions, is not."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            above = package.split(".") if statement.level else []
            above = above[: len(above) - statement.level + 1]
            target = ".".join([*above, *([statement.module] if statement.module else [])])
            for alias in statement.names:
                found.add(f"{target}.{alias.name}" if f"{target}.{alias.name}" in known else target)
    return found & known.keys()


def circles(graph: dict[str, set[str]]) -> set[str]:
    """What is left when modules that import nothing that is left are taken away, again and again."""
    left = dict(graph)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    return set(left)


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == set()


@pytest.mark.parametrize("stage", ORDER)
def test_no_module_imports_itself_over_others(stage: str) -> None:
    known = modules(stage)
    assert circles({name: imported(name, path, known) for name, path in known.items()}) == set()
