"""The main program, run as its users run it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "milestones" / "05_2017_transformer" / "vaswani_chatgpt.py"


LONG = "why " * 150


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(PROGRAM), *map(str, arguments)]


def run(*arguments: str | Path, typed: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """Its output is not a terminal, as in a pipeline, and `typed` is what it reads."""
    environment = os.environ | {"COLUMNS": "100"}
    options = {"input": typed} | options
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, check=False, **options)


def run_in_terminal(*arguments: str | Path, typed: str) -> tuple[int, str]:
    """The exit code and the screen of a terminal in which `typed` is typed."""
    import pty

    outside, inside = pty.openpty()
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm"}
    process = subprocess.Popen(command(*arguments), stdin=inside, stdout=inside, stderr=inside, env=environment)
    os.close(inside)
    os.write(outside, typed.encode())
    screen = b""
    with contextlib.suppress(OSError):  # Linux says so when the program has closed its end
        while piece := os.read(outside, 4096):
            screen += piece
    os.close(outside)
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.decode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a short training left its model."""
    where = tmp_path_factory.mktemp("talks")
    done = run("--quick", "--steps", "60", "--folder", where)
    assert done.returncode == 0, done.stderr
    (where / "output.txt").write_text(done.stdout)
    return where


CLAIMED = {
    "the training questions": 95,
    "held-out phrasings as written": 95,
    "held-out phrasings in lower case": 85,
    "held-out phrasings in capitals": 85,
    "held-out phrasings with a letter dropped": 80,
    'held-out phrasings after "Please tell me: "': 90,
}


def test_the_default_run_keeps_its_claim(tmp_path: Path) -> None:
    done = run("--folder", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The claims are kept." in done.stdout
    scores = dict(re.findall(r"│ ([a-z][^│]*?) +│ +([\d.]+)% +│ at least", done.stdout))
    assert {words: float(score) >= CLAIMED[words] for words, score in scores.items()} == dict.fromkeys(CLAIMED, True)
    asked = run("--chat", "--folder", tmp_path, typed="what color is the sky\nWHAT DAY COMES AFTER MONDAY?\n")
    assert asked.stdout.splitlines() == ["The sky is blue.", "Tuesday comes after Monday."]


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


def test_chat_answers_piped_questions_line_by_line(folder: Path) -> None:
    questions = ["What color is the sky?", "What day comes after Monday?"]
    done = run("--chat", "--folder", folder, typed="\n\n".join(questions))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert [run("--chat", "--folder", folder, typed=each).stdout for each in questions] == done.stdout.splitlines(True)
    assert "you:" not in done.stdout


def test_a_piped_question_that_is_too_long_is_answered_in_words_and_by_the_exit_code(folder: Path) -> None:
    done = run("--chat", "--folder", folder, typed=f"{LONG}\nHello!\n")
    assert done.returncode == 1
    assert not done.stderr
    too_long, answer = done.stdout.splitlines()
    assert "too long" in too_long
    assert "too long" not in answer


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_question_that_is_too_long_does_not_end_the_talk(folder: Path) -> None:
    code, screen = run_in_terminal("--chat", "--folder", folder, typed=f"{LONG}\nHello!\n\n")
    assert code == 0
    assert "too long" in screen
    assert screen.count("tiny:") == 2
    assert "Goodbye!" in screen


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_output_to_a_file_does_not_wait_for_a_hidden_prompt(tmp_path: Path) -> None:
    import pty

    keyboard, screen = pty.openpty()
    done = run("--steps", "2", "--folder", tmp_path, typed=None, input=None, stdin=screen, timeout=300)
    os.close(keyboard)
    os.close(screen)
    assert done.returncode == 0, done.stderr
    assert "you:" not in done.stdout


def test_a_shorter_training_does_not_replace_a_longer_one(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    done = run("--steps", "59", "--folder", folder)
    assert done.returncode == 1
    assert "was trained for 60 steps, and 59 would overwrite it" in " ".join(done.stdout.split())
    assert (folder / "model.safetensors").read_bytes() == before


def test_quick_keeps_to_a_folder_of_its_own(tmp_path: Path) -> None:
    done = run("--quick", "--steps", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tinytalks-quick"]
    assert "hatch run tinytalks --chat --folder runs/tinytalks-quick" in done.stdout.splitlines()


def test_nothing_to_resume_is_an_error(folder: Path) -> None:
    done = run("--resume", "--steps", "60", "--folder", folder)
    assert done.returncode == 1
    assert "no interrupted training" in done.stdout


@pytest.mark.parametrize("plot", ["nowhere/dashboard.svg", "dashboard.png", "folder.svg"])
def test_a_plot_that_cannot_be_written_is_refused_at_the_start(plot: str, tmp_path: Path) -> None:
    (tmp_path / "folder.svg").mkdir()
    done = run("--steps", "2", "--folder", tmp_path / "model", "--plot", tmp_path / plot)
    assert done.returncode == 2
    assert "--plot" in done.stderr
    assert not (tmp_path / "model").exists()


def test_a_plot_that_fails_after_the_training_loses_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    import vaswani_chatgpt

    from tinytorch.training import Dashboard

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Dashboard, "save_svg", refuse)
    code = vaswani_chatgpt.main(["--steps", "2", "--folder", str(tmp_path), "--plot", str(tmp_path / "plot.svg")])
    assert code == 1
    assert (tmp_path / "model.safetensors").exists()


def test_variations_are_those_of_their_generator_and_keep_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    import talks

    question = "What color is the sky?"
    varied = [talks.vary(question, np.random.default_rng(seed)) for seed in range(200)]
    assert varied == [talks.vary(question, np.random.default_rng(seed)) for seed in range(200)]
    plain = [text.removeprefix(next((p for p in talks.PREAMBLES if text.startswith(p)), "")) for text in varied]
    assert {len(text) for text in plain} == {len(question), len(question) - 1}
    assert 20 < sum(text == question for text in varied) < 180
    assert 10 < sum(text.startswith(talks.PREAMBLES) for text in varied) < 90
    assert not any(text.startswith("Please tell me") for text in varied), "held out: it is examined"


def test_chat_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    done = run("--chat", "--folder", tmp_path / "nothing")
    assert done.returncode == 1
    assert "train one first" in " ".join(done.stdout.split())
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
@pytest.mark.parametrize("kind", ["corrupt", "foreign"])
def test_a_file_that_is_not_ours_is_an_error_and_stays(name: str, kind: str, tmp_path: Path) -> None:
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
        command("--steps", "60", "--folder", tmp_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step ") or "->" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said = " ".join(process.communicate()[0].split())
    assert process.returncode == 130, said
    assert f"Go on with: hatch run tinytalks --resume --steps 60 --seed 0 --folder {tmp_path}" in said
    assert not (tmp_path / "model.safetensors").exists()
    checkpoint = (tmp_path / "training.safetensors").read_bytes()
    again = run("--steps", "60", "--folder", tmp_path)
    assert again.returncode == 1
    assert f"hatch run tinytalks --resume --steps 60 --seed 0 --folder {tmp_path}" in again.stdout.splitlines()
    assert (tmp_path / "training.safetensors").read_bytes() == checkpoint
    done = run("--resume", "--steps", "60", "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
