"""A stage imports earlier stages, and of those only what it declares."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

import stages

ORDER = stages.order()


def contracts() -> configparser.ConfigParser:
    """import-linter's configuration, drawn from the order and from what each package declares."""

    def modules(names: list[str]) -> str:
        return "\n" + "\n".join(f"tinytorch.{name}" for name in names)

    found = configparser.ConfigParser()
    found["importlinter"] = {"root_packages": modules(ORDER)}
    found["importlinter:contract:order"] = {
        "name": "Stages only look back",
        "type": "layers",
        "layers": modules(ORDER[::-1]),
    }
    for stage in ORDER:
        undeclared = [other for other in ORDER if other not in stages.closure(stage)]
        if not undeclared:
            continue
        found[f"importlinter:contract:{stage}"] = {
            "name": f"{stage} imports what it declares",
            "type": "forbidden",
            "source_modules": modules([stage]),
            "forbidden_modules": modules(undeclared),
        }
    return found


def lint(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    configuration = folder / "contracts.ini"
    with configuration.open("w") as file:
        contracts().write(file)
    sources = [str(root / "packages" / f"tinytorch-{stage}" / "src") for stage in ORDER]
    call = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    return subprocess.run(
        [*call, "--no-cache", "--config", str(configuration)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources)},
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_imports_look_back_and_are_declared(tmp_path: Path) -> None:
    done = lint(stages.ROOT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_import_of_a_later_stage_breaks_the_contract(scratch: Path, tmp_path: Path) -> None:
    (scratch / "packages/tinytorch-tensor/src/tinytorch/tensor/ahead.py").write_text("import tinytorch.layers\n")
    done = lint(scratch, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Stages only look back BROKEN" in done.stdout


def test_import_of_an_earlier_stage_that_is_not_declared_breaks_the_contract(scratch: Path, tmp_path: Path) -> None:
    (scratch / "packages/tinytorch-kvcache/src/tinytorch/kvcache/aside.py").write_text("import tinytorch.data\n")
    done = lint(scratch, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "kvcache imports what it declares BROKEN" in done.stdout
