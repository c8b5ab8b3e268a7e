"""A scratch copy of the repository, for tests that change it."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # stages.py belongs to no package


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A copy of what installs, builds and tests the stages, without their tests."""
    copy = tmp_path / "clone"
    copy.mkdir()
    for name in ("pyproject.toml", "tox.ini", "toxfile.py", "stages.py", "install.py"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "template", copy / "template")
    unwanted = shutil.ignore_patterns("tests", "dist", "__pycache__", ".*")
    shutil.copytree(ROOT / "packages", copy / "packages", ignore=unwanted)
    return copy
