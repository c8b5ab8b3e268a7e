"""Adding a stage is copying the template and adding one line, as CONTRIBUTING.md says."""

import re
import subprocess
import sys
from pathlib import Path

import stages


def steps() -> str:
    """The shell commands of CONTRIBUTING.md that make a stage called `distributed`."""
    page = (stages.ROOT / "CONTRIBUTING.md").read_text()
    found = re.search(r"## Adding a stage.*?```bash\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1]


def test_copying_the_template_and_adding_one_line_makes_a_stage(scratch: Path) -> None:
    subprocess.run(["bash", "-euc", steps()], cwd=scratch, check=True)
    listing = scratch / "pyproject.toml"
    listing.write_text(listing.read_text().replace('  "profiler",\n', '  "profiler",\n  "distributed",\n'))

    package = scratch / "packages/tinytorch-distributed"
    assert not [path for path in package.rglob("*") if "STAGE" in path.name]
    assert not [path for path in package.rglob("*.*") if path.is_file() and "STAGE" in path.read_text()]

    call = [sys.executable, "-m", "tox", "run", "-e", f"py3{sys.version_info.minor}-distributed"]
    done = subprocess.run(call, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" passed") == 2  # its test, and the example of its README
