"""`hatch run` has every stage, from its folder, without an index being asked for a name of ours."""

import os
import subprocess
import sys
from pathlib import Path

import stages


def test_default_environment_holds_every_stage_of_the_clone(scratch: Path, tmp_path: Path) -> None:
    show = "import sys, importlib.util as u; print(*(u.find_spec(name).origin for name in sys.argv[1:]), sep='\\n')"
    call = [sys.executable, "-m", "hatch", "-q", "run", "python", "-c", show]
    done = subprocess.run(
        [*call, *(f"tinytorch.{stage}" for stage in stages.order())],
        cwd=scratch,
        env={**os.environ, "HATCH_DATA_DIR": str(tmp_path / "hatch")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folders = [scratch / "packages" / f"tinytorch-{stage}" for stage in stages.order()]
    origins = [Path(line) for line in done.stdout.splitlines()]
    assert all(origin.is_relative_to(folder) for origin, folder in zip(origins, folders, strict=True))
