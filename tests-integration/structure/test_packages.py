"""Every package folder looks like the template, and the packages agree with each other."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import stages
from packaging.requirements import Requirement

ORDER = stages.order()
every_stage = pytest.mark.parametrize("stage", ORDER)


def template(path: str, stage: str) -> str:
    return (stages.ROOT / "template" / path).read_text().replace("STAGE", stage)


def test_order_lists_every_package_once() -> None:
    folders = {path.name.removeprefix("tinytorch-") for path in (stages.ROOT / "packages").glob("tinytorch-*")}
    assert sorted(ORDER) == sorted(folders)


@every_stage
def test_package_has_the_files_of_the_template(stage: str) -> None:
    expected = {path.relative_to(stages.ROOT / "template") for path in (stages.ROOT / "template").rglob("*")}
    expected = {Path(str(path).replace("STAGE", stage)) for path in expected if path.parts[0] != "tests"}
    missing = [path for path in sorted(expected) if not (stages.folder(stage) / path).exists()]
    assert not missing
    assert list((stages.folder(stage) / "tests").glob("test_*.py"))
    top = {path.name for path in stages.folder(stage).iterdir() if not path.name.startswith(".")}
    assert top - {"dist", "tools"} == {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "src", "tests"}


@every_stage
def test_pyproject_differs_from_the_template_only_where_it_may(stage: str) -> None:
    def common(document: dict[str, Any]) -> dict[str, Any]:
        for key in ("description", "dependencies", "optional-dependencies"):
            document["project"].pop(key, None)
        document.pop("dependency-groups", None)
        return document

    own = stages.read(stages.folder(stage) / "pyproject.toml")
    assert common(own) == common(tomllib.loads(template("pyproject.toml", stage)))


@every_stage
def test_licence_is_the_one_of_the_repository(stage: str) -> None:
    assert (stages.folder(stage) / "LICENSE").read_text() == (stages.ROOT / "LICENSE").read_text()


@every_stage
def test_no_package_owns_the_namespace(stage: str) -> None:
    assert [path.name for path in stages.source(stage).parent.iterdir() if path.name != "__pycache__"] == [stage]


@every_stage
def test_version_heads_the_changelog(stage: str) -> None:
    head = re.search(r"^## (\S+)", (stages.folder(stage) / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert head
    assert head[1] == stages.version(stage)


@every_stage
def test_readme_names_the_stage_runs_an_example_and_says_how_to_install(stage: str) -> None:
    readme = (stages.folder(stage) / "README.md").read_text()
    assert readme.startswith(f"# tinytorch-{stage}\n")
    assert "```python\n" in readme
    assert f"python install.py {stage}" in readme


@every_stage
def test_ranges_hold_the_siblings_and_no_exact_pin(stage: str) -> None:
    for requirement in map(Requirement, stages.requirements(stage)):
        sibling = requirement.name.removeprefix("tinytorch-")
        assert not any(part.operator in ("==", "===") for part in requirement.specifier), requirement
        if sibling != requirement.name:
            assert {part.operator for part in requirement.specifier} == {">=", "<"}, requirement
            assert requirement.specifier.contains(stages.version(sibling)), requirement


@every_stage
def test_stage_depends_on_earlier_stages_only(stage: str) -> None:
    assert set(stages.needs(stage)) <= set(ORDER[: ORDER.index(stage)])
    assert stages.closure(stage)[-1] == stage


@every_stage
def test_files_are_short_enough_to_read(stage: str) -> None:
    long = {path.name: lines for path in stages.source(stage).rglob("*.py") if (lines := lines_of(path)) > 400}
    assert not long


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())
