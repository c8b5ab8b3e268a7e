"""`python install.py STAGE` installs a stage with the earlier ones it needs, and asks no index for their names."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import stages

INSTALL = str(stages.ROOT / "install.py")


def run(*call: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=stages.ROOT)


@pytest.mark.parametrize("stage", ["attention", "kvcache"])
def test_stage_is_installed_with_what_it_needs_and_no_name_of_ours_is_looked_up(stage: str, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    log = tmp_path / "pip.log"
    done = run(python, INSTALL, stage, f"--log={log}", "-vvv")
    assert done.returncode == 0, done.stdout + done.stderr

    listed = run(python, "-m", "pip", "list", "--format=freeze").stdout
    assert sorted(re.findall(r"^tinytorch-(\w+)==", listed, re.MULTILINE)) == sorted(stages.closure(stage))
    imported = run(python, "-c", f"import tinytorch.{stage}; print(tinytorch.{stage}.__file__)")
    assert imported.returncode == 0, imported.stderr
    assert str(tmp_path) in imported.stdout

    asked = set(re.findall(r"search for versions of ([\w-]+)", log.read_text(errors="replace")))
    assert "numpy" in asked  # the log does say what is looked up
    assert not [name for name in asked if name.startswith("tinytorch")]


def test_unknown_stage_is_refused_with_the_nearest_name() -> None:
    done = run(sys.executable, INSTALL, "atention")
    assert done.returncode == 2
    assert "no stage is called 'atention'; did you mean 'attention'?" in done.stderr
    assert ", ".join(stages.order()) in done.stderr


@pytest.mark.parametrize(
    "words",
    ["attention --editable kvcache", "--test attention kvcache", "attention --no-index kvcache", "kvcache attention"],
)
def test_stages_may_stand_after_options(words: str) -> None:
    done = run(sys.executable, INSTALL, "--show", *words.split())
    assert done.returncode == 0, done.stderr
    shown = done.stdout.split()
    folders = {str(stages.folder(stage)) for stage in stages.closure("attention", "kvcache")}
    assert folders <= set(shown)
    assert not {"attention", "kvcache", "all"} & set(shown)
    assert ("--no-index" in shown) == ("--no-index" in words)


def test_all_may_stand_with_other_stages() -> None:
    shown = run(sys.executable, INSTALL, "all", "--show", "tensor").stdout.split()
    assert "tensor" not in shown
    assert {str(stages.folder(stage)) for stage in stages.order()} <= set(shown)


@pytest.mark.parametrize("words", ["attention --editable requests", "attention --log file.txt", "all requests", "--"])
def test_only_options_are_passed_on(words: str) -> None:
    done = run(sys.executable, INSTALL, "--show", *words.split())
    assert done.returncode == 2
    assert not done.stdout


def test_every_stage_stands_after_what_it_needs() -> None:
    order = stages.order()
    for stage in order:
        closure = stages.closure(stage)
        assert closure == sorted(closure, key=order.index)
        assert all(set(stages.needs(each)) <= set(closure) for each in closure)
