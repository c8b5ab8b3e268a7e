"""The mistakes of `hatch run mutants:run` compile, differ from the original, and stand where code runs."""

import ast
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import stages  # noqa: E402
from mutants.mutations import EQUIVALENT, mutations, reason  # noqa: E402

SOURCE = """
from __future__ import annotations
LIMIT: int | None = 3
def f(x: int | None = None, *, deep: bool = False) -> int | None:
    if x is None or not deep:
        raise ValueError(f"{x + 1}")
    for i in range(x):
        if i % 2 < 1:
            continue
        x -= i
    return -x[-2000]
"""


def test_mistakes_are_made_where_code_runs(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    found = {(each.before, each.after) for each in mutations(path)}
    assert found == {
        ("3", "4"), ("False", "True"), ("x is None or not deep", "((x is None)) and ((not deep))"),
        ("x is None", "x is not None"), ("not deep", "bool(deep)"), ("i % 2 < 1", "(i % 2) <= 1"),
        ("i % 2", "(i * 2)"), ("2", "3"), ("1", "2"), ("continue", "break"), ("x -= i", "x += i"),
        ("-x[-2000]", "(x[-2000])"), ("-2000", "-1999"),
    }  # fmt: skip


@pytest.mark.parametrize("stage", stages.order())
def test_mistakes_compile_and_differ(stage: str) -> None:
    for path in sorted(stages.source(stage).glob("*.py")):
        source = path.read_bytes()
        whole = ast.dump(ast.parse(source))
        for each in mutations(path)[::50]:
            assert ast.dump(ast.parse(each.apply(source))) != whole, each


def test_every_reason_why_a_mistake_is_not_noticed_is_that_of_one() -> None:
    for stage, files in EQUIVALENT.items():
        for name, reasons in files.items():
            every = [each for path in stages.source(stage).rglob(name) for each in mutations(path)]
            used = {reason(stage, each) for each in every}
            assert used >= set(reasons.values()), (stage, name, set(reasons.values()) - used)
