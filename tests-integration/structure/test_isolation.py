"""tox's environment of a stage holds that stage and what it declares: an import of a later one fails there."""

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = f"py3{sys.version_info.minor}-tensor"
HONEST = "import tinytorch.tensor\n\n\ndef test_import() -> None:\n    assert tinytorch.tensor.__version__\n"


def tox(scratch: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOX_")}
    call = [sys.executable, "-m", "tox", "run", "-e", ENVIRONMENT]
    return subprocess.run(call, cwd=scratch, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def test_import_of_a_later_stage_fails(scratch: Path) -> None:
    tests = scratch / "packages/tinytorch-tensor/tests"
    tests.mkdir()
    (tests / "test_honest.py").write_text(HONEST)
    control = tox(scratch)
    assert control.returncode == 0, control.stdout + control.stderr
    assert "1 passed" in control.stdout

    (tests / "test_leak.py").write_text("import tinytorch.layers\n\n" + HONEST)
    leak = tox(scratch)
    assert leak.returncode != 0, leak.stdout
    assert "No module named 'tinytorch.layers'" in leak.stdout


def test_stage_whose_tests_all_vanished_fails(scratch: Path) -> None:
    (scratch / "packages/tinytorch-tensor/tests").mkdir()
    empty = tox(scratch)
    assert empty.returncode != 0, empty.stdout
    assert "no tests ran" in empty.stdout


def test_stage_whose_tests_are_all_skipped_fails(scratch: Path) -> None:
    tests = scratch / "packages/tinytorch-tensor/tests"
    tests.mkdir()
    (tests / "test_skipped.py").write_text("import pytest\n\n\n@pytest.mark.skip\ndef test_nothing() -> None: ...\n")
    skipped = tox(scratch)
    assert skipped.returncode != 0, skipped.stdout
    assert "1 skipped" in skipped.stdout
