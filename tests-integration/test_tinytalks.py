"""The main program, run as its users run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "milestones" / "05_2017_transformer" / "vaswani_chatgpt.py"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(PROGRAM), *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Its output is no terminal and nobody types, as in a pipeline."""
    environment = os.environ | {"COLUMNS": "100"}
    return subprocess.run(
        command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a short training left its model."""
    where = tmp_path_factory.mktemp("talks")
    done = run("--quick", "--steps", "60", "--folder", where)
    assert done.returncode == 0, done.stderr
    (where / "output.txt").write_text(done.stdout)
    return where


def test_the_default_run_keeps_its_claim(tmp_path: Path) -> None:
    done = run("--folder", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"([\d.]+)% of the training questions, ([\d.]+)% of the\s+held-out", done.stdout)
    assert found, done.stdout
    assert float(found[1]) >= 95
    assert float(found[2]) >= 70


def test_a_pipeline_gets_plain_lines_and_a_clean_end(folder: Path) -> None:
    output = (folder / "output.txt").read_text()
    assert "\x1b" not in output
    assert "step 60/60" in output
    assert "Hello, Tiny!" in output
    assert re.search(r"100 tokens, the same ones: [\d,]+ tokens/s without the cache, [\d,]+ with it", output)
    assert "linear backward" in output
    assert "you:" not in output


def test_chat_continues_without_training(folder: Path) -> None:
    done = run("--chat", "--folder", folder)
    assert done.returncode == 0, done.stderr
    assert "step" not in done.stdout


def test_the_same_seed_learns_the_same(folder: Path, tmp_path: Path) -> None:
    done = run("--steps", "60", "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_chat_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    done = run("--chat", "--folder", tmp_path / "nothing")
    assert done.returncode == 1
    assert "train one first" in " ".join(done.stdout.split())
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
@pytest.mark.parametrize("kind", ["corrupt", "foreign"])
def test_a_file_that_is_not_ours_is_an_error_and_stays(name: str, kind: str, tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    if kind == "corrupt":
        (tmp_path / name).write_bytes(b"not a model at all")
    else:
        save_file({"weight": np.ones(3, np.float32)}, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    done = run("--steps", "2", "--folder", tmp_path)
    assert done.returncode == 1
    assert name in "".join(done.stdout.split())
    assert "Traceback" not in done.stderr
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C reaches a child in another way there")
def test_ctrl_c_saves_and_the_run_goes_on_to_the_same_end(folder: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("--steps", "60", "--folder", tmp_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step ") or "->" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said = " ".join(process.communicate()[0].split())
    assert process.returncode == 130, said
    assert "Go on with: hatch run tinytalks --resume --steps 60 --seed 0" in said
    assert not (tmp_path / "model.safetensors").exists()
    done = run("--resume", "--steps", "60", "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
