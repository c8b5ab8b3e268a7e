"""What is built is what is meant: each wheel opened, each source archive complete, all installed and imported."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import stages

ORDER = stages.order()
every_stage = pytest.mark.parametrize("stage", ORDER)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that one `hatch build --all` fills."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatch", "build", "--all", str(folder)], cwd=stages.ROOT, check=True)
    return folder


@pytest.fixture(scope="session")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own with every wheel and what the tests of the stages need."""
    folder = tmp_path_factory.mktemp("installed")
    uv = os.environ["UV"]
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(folder / "venv")], check=True)
    found = folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    projects = [stages.ROOT / "pyproject.toml", *(stages.folder(stage) / "pyproject.toml" for stage in ORDER)]
    needed = [each for path in projects for each in stages.read(path).get("dependency-groups", {}).get("test", [])]
    wheels = [str(wheel(built, stage)) for stage in ORDER]
    subprocess.run([uv, "pip", "install", "-q", "--python", str(found), *wheels, *needed], check=True)
    return found


def wheel(built: Path, stage: str) -> Path:
    [found] = built.glob(f"tinytorch_{stage}-*.whl")
    return found


def files(stage: str) -> set[str]:
    source = stages.source(stage)
    own = (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"tinytorch/{stage}/{path.relative_to(source).as_posix()}" for path in own}


@every_stage
def test_wheel_holds_its_own_portion_only(built: Path, stage: str) -> None:
    with zipfile.ZipFile(wheel(built, stage)) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
        [licence] = [name for name in opened.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert opened.read(licence) == (stages.ROOT / "LICENSE").read_bytes()
    assert names == files(stage)
    assert f"tinytorch/{stage}/py.typed" in names
    assert "tinytorch/__init__.py" not in names


@every_stage
def test_wheel_declares_what_its_pyproject_declares(built: Path, stage: str) -> None:
    with zipfile.ZipFile(wheel(built, stage)) as opened:
        [name] = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = opened.read(name).decode()
    siblings = re.findall(r"^Requires-Dist: tinytorch-([a-z]+)", metadata, re.MULTILINE)
    assert sorted(siblings) == sorted(stages.needs(stage))
    assert "Requires-Python: >=3.11" in metadata


@every_stage
def test_source_archive_holds_the_tests_too(built: Path, stage: str) -> None:
    [archive] = built.glob(f"tinytorch_{stage}-*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"} <= names
    assert {f"src/{name}" for name in files(stage)} <= names
    tests = {path.name for path in (stages.folder(stage) / "tests").glob("test_*.py")}
    assert {f"tests/{name}" for name in tests} <= names


@every_stage
def test_tests_of_an_extracted_archive_are_collected(built: Path, python: Path, stage: str, tmp_path: Path) -> None:
    [archive] = built.glob(f"tinytorch_{stage}-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    [folder] = tmp_path.iterdir()
    call = [str(python), "-m", "pytest", "-q", "--collect-only"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_one_package_builds_in_its_folder(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "hatch", "build", "-t", "wheel", str(tmp_path)]
    subprocess.run(call, cwd=stages.folder(ORDER[-1]), check=True)
    assert wheel(tmp_path, ORDER[-1]).exists()


def test_wheels_live_side_by_side_in_one_namespace(python: Path) -> None:
    check = "import sys, importlib\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
    modules = [f"tinytorch.{stage}" for stage in ORDER]
    done = subprocess.run([str(python), "-c", check, *modules], check=True, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == len(ORDER)
    assert all(str(python.parents[1]) in line for line in done.stdout.splitlines())
