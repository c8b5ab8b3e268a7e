"""tox's environments that follow from the order of the stages: `tox list` shows them all."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.config.types import Command, EnvList
from tox.plugin import impl
from tox.session.state import State

sys.path.insert(0, str(Path(__file__).resolve().parent))
import stages

ORDER = stages.order()
PYTHONS = ["py311", "py312", "py313"]
PRIMARY = PYTHONS[0]
REPOSITORY = ["lint", "types", "structure", "integration", "wheels", "docs"]


def install(*arguments: str) -> Command:
    return Command(["python", "install.py", *arguments])


def test(stage: str, profile: str, arguments: Sequence[str] = ()) -> list[Command]:
    """Two runs, so that a stage without tests fails even though its examples pass."""
    pytest = ["pytest", "-q", "-c", "pyproject.toml", "--rootdir", ".", f"--hypothesis-profile={profile}"]
    folder = f"packages/tinytorch-{stage}"
    examples = ["--doctest-modules", "--pyargs", f"tinytorch.{stage}", f"{folder}/README.md"]
    return [Command([*pytest, f"{folder}/tests", *arguments]), Command([*pytest, *examples])]


def environments(arguments: Sequence[str] = ()) -> dict[str, dict[str, object]]:
    """The settings of each environment that depends on the stages, by name."""
    found: dict[str, dict[str, object]] = {}
    for python in PYTHONS:
        profile = "tinytorch" if python == PRIMARY else "lean"
        for stage in ORDER:
            found[f"{python}-{stage}"] = {
                "description": f"tests and examples of {stage}, with its declared dependencies alone",
                "base_python": [python],
                "commands_pre": [install(stage, "--test", "--exact", "--quiet")],
                "commands": test(stage, profile, arguments),
            }
    found["floor"] = {
        "description": "tests of every stage with the oldest releases it declares",
        "base_python": PYTHONS[:2],  # NumPy 2.0 has no wheels for later ones
        "commands_pre": [install("all", "--test", "--quiet", "--resolution=lowest-direct")],
        "commands": [command for stage in ORDER for command in test(stage, "lean")],
    }
    modules = [argument for stage in ORDER for argument in ("-p", f"tinytorch.{stage}")]
    found["types"] = {
        "description": "mypy, strict, over every package",
        "commands_pre": [install("all", "--test", "--editable", "--quiet")],
        "commands": [Command(["mypy", "stages.py", "install.py"]), Command(["mypy", *modules])],
    }
    hatch = stages.read(stages.ROOT / "pyproject.toml")["tool"]["hatch"]["envs"]
    found["docs"] = {"deps": "\n".join(hatch["docs"]["dependencies"])}
    found["peers"] = {"deps": "\n".join(hatch["peers"]["dependencies"])}
    return found


def pyenv_folders() -> list[str]:
    """Where pyenv keeps its Pythons: its shims answer only for the versions that are switched on."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(str(folder) for folder in root.glob("versions/3.*/bin"))


@impl
def tox_extend_envs() -> list[str]:
    return list(environments())


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *pyenv_folders()])
    if find_spec("uv"):  # absent only in the first process, which starts one that has tox-uv
        from uv import find_uv_bin

        os.environ["UV"] = find_uv_bin()
    order = [*REPOSITORY, "floor", *(f"{python}-{stage}" for python in PYTHONS for stage in ORDER)]
    core_conf.loaders.insert(0, MemoryLoader(env_list=EnvList(order)))
    for name, settings in environments(state.conf.pos_args(None) or ()).items():
        state.conf.memory_seed_loaders[name].append(MemoryLoader(**settings))
