"""Install stages from this clone, each with exactly the earlier stages that it needs.

The stages are passed to pip (or to uv, where there is no pip) as folders in one call,
so that no package index is asked for any of their names.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys

if sys.version_info < (3, 11):  # noqa: UP036  (this file is run before anything checks the version)
    raise SystemExit(f"install.py: this is Python {sys.version.split()[0]}; TinyTorch needs 3.11 or later")

import stages


def installer() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    uv = shutil.which(os.environ.get("UV", "uv"))
    if uv is None:
        raise SystemExit(
            f"install.py: {sys.executable} has no pip and there is no uv; try: {sys.executable} -m ensurepip"
        )
    return [uv, "pip", "install", "--python", sys.executable]


def command(
    names: list[str], editable: bool = False, test: bool = False, options: list[str] | None = None
) -> list[str]:
    """The one call that installs these stages and those that they need."""
    needed = stages.closure(*names)
    call = installer()
    if "--python" in call:  # uv caches the wheel that it built from a folder: ask for a new one
        call += [option for stage in needed for option in ("--reinstall-package", f"tinytorch-{stage}")]
    for stage in needed:
        call += ["--editable", str(stages.folder(stage))] if editable else [str(stages.folder(stage))]
    if test:
        call += stages.test_requirements(*names)
    return call + (options or [])


def main() -> int:
    parser = argparse.ArgumentParser(
        usage="install.py [-h] [--editable] [--test] [--show] STAGE [STAGE ...]",
        description=f"{__doc__}\nThe stages, in order: {', '.join(stages.order())}; 'all' stands for all of them.",
        epilog="Other options are passed on to the installer, for example --no-index or --log=FILE (with the = sign).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-e", "--editable", action="store_true", help="run from these folders: edits take effect at once"
    )
    parser.add_argument("--test", action="store_true", help="also install what the stages' tests need")
    parser.add_argument("--show", action="store_true", help="print the command and do nothing")
    arguments, rest = parser.parse_known_args()
    options = [each for each in rest if each.startswith("-")]
    words = [each for each in rest if each not in options]  # each is a stage: none reaches the installer as a name
    if not words:
        parser.error("which stage? Name one or more, or 'all'")
    names = [stage for word in words for stage in (stages.order() if word == "all" else [word])]
    try:
        call = command(names, arguments.editable, arguments.test, options)
    except ValueError as error:
        hint = "A value of the installer's option is written with =, as in --log=FILE\n" if options else ""
        parser.exit(2, f"install.py: {error}\n{hint}")
    if arguments.show or "--quiet" not in options:
        print(" ".join(call), flush=True)
    return 0 if arguments.show else subprocess.run(call).returncode


if __name__ == "__main__":
    sys.exit(main())
