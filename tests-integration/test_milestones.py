"""The milestones from 1957 to 1998, run as their users run them."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tinytorch.data.datasets import digits
from tinytorch.tensor import Array

MILESTONES = Path(__file__).resolve().parents[1] / "milestones"
RUN_ALONE = ["forward_pass", "perceptron_trained", "xor_crisis", "xor_solved", "mlp_digits", "cnn_digits"]
NEED_FILES = {"mlp_mnist": "train-images-idx3-ubyte.gz", "lecun_cifar10": "cifar-10-binary.tar.gz"}
EVERY = [*RUN_ALONE, *NEED_FILES]
NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")


def run(program: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Its output is not a terminal and its input is empty, as in a pipeline."""
    path = next(MILESTONES.glob(f"*/{program}.py"))
    return subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment,  # two threads wait for each other under load
        check=False,
    )


def stated(done: subprocess.CompletedProcess[str]) -> tuple[str, str, str]:
    """The claim, what was reached, and the verdict: the last three lines."""
    claim, reached, verdict = done.stdout.strip().splitlines()[-3:]
    return claim.removeprefix("claim: "), reached.removeprefix("reached: "), verdict


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def kept(program: str, *arguments: str | Path) -> tuple[str, list[float]]:
    """The claim and the numbers reached, by a program that keeps its claim and says so."""
    done = run(program, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    assert "\x1b" not in done.stdout
    claim, reached, verdict = stated(done)
    assert verdict == "kept"
    return claim, numbers(reached)


# What each claims


def test_weights_by_hand_compute_logic_and_random_ones_are_a_coin() -> None:
    _, (right, rows, mean, perceptrons) = kept("forward_pass")
    assert (right, rows, perceptrons) == (12, 12, 1000)
    assert 45 < mean < 55


def test_the_first_milestone_needs_the_first_stage_only() -> None:
    source = next(MILESTONES.glob("*/forward_pass.py")).read_text(encoding="utf-8")
    assert {*re.findall(r"tinytorch\.\w+", source)} == {"tinytorch.tensor"}


@pytest.mark.parametrize("seed", range(3))
def test_the_perceptron_separates_all_points_within_novikoffs_bound(seed: int) -> None:
    claim, (right, points, percent, corrections) = kept("perceptron_trained", "--seed", str(seed))
    assert right == points == 200
    assert percent == 100
    assert 0 < corrections <= numbers(claim.partition("=")[2])[0]


def test_the_perceptron_says_when_no_line_separates() -> None:
    done = run("perceptron_trained", "--overlap")
    _, reached, verdict = stated(done)
    assert (done.returncode, verdict) == (0, "kept")
    assert reached.startswith("NOT separable")
    best, points, right, *_ = numbers(reached)
    assert right <= best < points


def test_one_layer_fails_at_xor_and_says_so() -> None:
    done = run("xor_crisis")
    _, reached, _ = stated(done)
    assert done.returncode == 0
    assert reached.startswith("it fails")
    assert max(numbers(reached)) <= 75


@pytest.mark.parametrize("seed", range(3))
def test_two_layers_learn_xor(seed: int) -> None:
    _, (percent, points, _) = kept("xor_solved", "--seed", str(seed))
    assert (percent, points) == (100, 200)


@pytest.mark.parametrize(("program", "at_least"), [("mlp_digits", 97), ("cnn_digits", 98.5)])
def test_digits_are_read(program: str, at_least: float) -> None:
    claim, (right, images, percent, _) = kept(program)
    assert numbers(claim) == [at_least]
    assert images == 355
    assert right / images * 100 >= percent >= at_least


def test_convolution_makes_less_than_two_thirds_of_the_mistakes_of_the_perceptron() -> None:
    perceptron, convolution = (355 - kept(program, "--seed", "3")[1][0] for program in ("mlp_digits", "cnn_digits"))
    assert convolution < perceptron * 2 / 3


# The files that are too large to ship: the same formats, made of the digits that are shipped


def idx(array: Array) -> bytes:
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes())


def repeated(split: str, times: int) -> tuple[Array, Array]:
    """The digits, each as often as that, in a random order: images (N, 8, 8) from 0 to 1, labels (N,)."""
    pixels, labels = (tensor.data for tensor in digits("train" if split == "train" else "test").tensors)
    order = np.random.default_rng(0).permutation(len(labels) * times) % len(labels)
    return pixels[order, 0], labels[order].astype(np.uint8)


def write_mnist(folder: Path, shuffle_labels: bool = False) -> None:
    for split, name, times in (("train", "train", 8), ("test", "t10k", 1)):
        pixels, labels = repeated(split, times)
        large = np.pad(np.kron(pixels, np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2)))  # (N, 8, 8) -> (N, 28, 28)
        if shuffle_labels:
            labels = np.random.default_rng(1).permutation(labels)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(idx((large * 255).astype(np.uint8)))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(labels))


def write_cifar10(folder: Path) -> None:
    """Bright digits on dark paper, each in colors of its own."""
    with tarfile.open(folder / NEED_FILES["lecun_cifar10"], "w:gz") as archive:
        for split, names in (("train", [f"data_batch_{n}.bin" for n in range(1, 6)]), ("test", ["test_batch.bin"])):
            pixels, labels = repeated(split, 4 if split == "train" else 1)
            paper = np.random.default_rng(2).random((len(labels), 3, 1, 1)) / 2
            colors = paper + np.kron(pixels, np.ones((1, 4, 4)))[:, None] / 2  # (N, 8, 8) -> (N, 3, 32, 32)
            rows = np.column_stack([labels, (colors * 255).astype(np.uint8).reshape(len(labels), -1)])
            for name, part in zip(names, np.array_split(rows, len(names)), strict=True):
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = part.size
                archive.addfile(member, io.BytesIO(part.tobytes()))


def test_the_mnist_network_learns_digits_of_that_size(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    done = run("mlp_mnist", "--folder", tmp_path, "--no-verify")
    claim, reached, verdict = stated(done)
    assert numbers(claim) == [98]
    right, images, *_ = numbers(reached)
    assert right >= 0.97 * images == 0.97 * 355  # of 1,442 different digits; MNIST has 60,000
    assert (done.returncode, verdict) == ((0, "kept") if right >= 0.98 * images else (1, "NOT kept"))
    quick, _ = kept("mlp_mnist", "--quick", "--folder", tmp_path, "--no-verify", "--plot", tmp_path / "mnist.png")
    assert numbers(quick) == [93]
    assert (tmp_path / "mnist.png").stat().st_size > 10_000


def test_the_cifar_network_learns_colored_digits_of_that_size(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    plot = tmp_path / "cifar.png"
    _, (_, _, percent, _) = kept("lecun_cifar10", "--quick", "--folder", tmp_path, "--no-verify", "--plot", plot)
    assert percent >= 75  # after a 20th of the steps that the photographs get
    assert plot.stat().st_size > 10_000


def test_a_claim_that_is_not_kept_is_an_exit_code(tmp_path: Path) -> None:
    write_mnist(tmp_path, shuffle_labels=True)  # nothing can be learned
    done = run("mlp_mnist", "--quick", "--folder", tmp_path, "--no-verify")
    assert done.returncode == 1
    _, reached, verdict = stated(done)
    assert verdict == "NOT kept"
    assert numbers(reached)[2] < 30


@pytest.mark.parametrize(("program", "name"), NEED_FILES.items())
def test_without_its_files_a_program_says_which_and_where(program: str, name: str, tmp_path: Path) -> None:
    done = run(program, "--folder", tmp_path, **NO_NETWORK)
    assert done.returncode == 1
    assert done.stdout.startswith("no data: ")
    assert re.search(rf"{name} \([\d,]+ bytes, SHA-256 [0-9a-f]{{64}}\)", done.stdout)
    assert str(tmp_path / name) in done.stdout
    assert not done.stderr


@pytest.mark.parametrize(("program", "name"), NEED_FILES.items())
def test_a_file_with_another_checksum_is_refused(program: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something else")
    done = run(program, "--folder", tmp_path, **NO_NETWORK)
    assert done.returncode == 1
    assert "expected" in done.stdout
    assert (tmp_path / name).read_bytes() == b"something else"


# What all have in common


@pytest.mark.parametrize("program", RUN_ALONE)
def test_quick_keeps_its_claim_and_draws_a_picture(program: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    kept(program, "--quick", "--plot", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000


def test_the_seed_decides() -> None:
    first, again, other = (stated(run("perceptron_trained", "--seed", seed))[:2] for seed in ("3", "3", "4"))
    assert first == again != other


@pytest.mark.parametrize("program", EVERY)
def test_help_tells_the_history(program: str) -> None:
    done = run(program, "--help")
    assert done.returncode == 0
    assert re.search(r"^19\d\d, ", done.stdout, re.MULTILINE)
    assert all(option in done.stdout for option in ("--seed", "--quick", "--plot"))
    path = next(MILESTONES.glob(f"*/{program}.py")).relative_to(MILESTONES.parent)
    assert f"\n    hatch run python {path.as_posix()}" in done.stdout  # a bare python lacks the stages


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--seed", "-1"], "a seed is 0 or more"),
        (["--seed", "x"], "invalid int value"),
        (["--plot", "picture.txt"], "ends in .png"),
        (["--plot", "nowhere/picture.png"], "there is no folder nowhere"),
        (["--epochs", "3"], "unrecognized arguments"),
    ],
)
@pytest.mark.parametrize("program", ["xor_solved", "mlp_mnist"])
def test_wrong_arguments_are_refused_at_once(program: str, arguments: list[str], complaint: str) -> None:
    done = run(program, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not done.stdout


def test_a_picture_without_matplotlib_says_what_to_install(tmp_path: Path) -> None:
    program = next(MILESTONES.glob("*/xor_solved.py"))
    hidden = "import importlib.util as u, runpy, sys; found = u.find_spec; "
    hidden += "u.find_spec = lambda name, *more: None if name == 'matplotlib' else found(name, *more); "
    hidden += f"sys.path.insert(0, {str(program.parent)!r}); sys.argv[1:] = ['--plot', {str(tmp_path / 'p.png')!r}]; "
    hidden += f"runpy.run_path({str(program)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "a picture needs matplotlib; install it with: pip install matplotlib"


def test_matplotlib_is_not_imported_without_a_picture() -> None:
    program = next(MILESTONES.glob("*/xor_solved.py"))
    code = f"import sys; sys.path.insert(0, {str(program.parent)!r}); import xor_solved; xor_solved.main(['--quick']); "
    code += "assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_program_is_short() -> None:
    paths = [next(MILESTONES.glob(f"*/{name}.py")) for name in EVERY]
    lines = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert max(lines.values()) <= 150, lines


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C reaches a child in another way there")
def test_ctrl_c_ends_it_without_a_traceback() -> None:
    program = next(MILESTONES.glob("*/cnn_digits.py"))
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith("step 1/")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stdout.read().endswith("Interrupted.\n")
        assert not process.stderr.read()


# All of them in one table


def table(milestones: Path, data: Path, *years: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "150", "TINYTORCH_DATA": str(data)}
    return subprocess.run(
        [sys.executable, str(milestones), *years], capture_output=True, text=True, env=environment, check=False
    )


def test_the_table_shows_year_claim_reached_and_seconds(tmp_path: Path) -> None:
    done = table(MILESTONES, tmp_path, "1969", "1986")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    found = {cells[1]: cells for cells in rows if cells[0]}
    assert {name: cells[0] for name, cells in found.items()} == {
        "xor_crisis": "1969", "xor_solved": "1969", "mlp_digits": "1986", "mlp_mnist": "1986"
    }  # fmt: skip
    assert {name: cells[5] for name, cells in found.items()} == {
        "xor_crisis": "kept", "xor_solved": "kept", "mlp_digits": "kept", "mlp_mnist": "no data"
    }  # fmt: skip
    assert found["xor_solved"][2] == "two layers learn XOR: 100%"
    assert found["xor_solved"][3].startswith("100% of 200 points")
    assert float(found["xor_solved"][4]) > 0
    assert not [*tmp_path.iterdir()], "nothing is downloaded"


def test_the_table_fails_when_a_claim_is_not_kept(tmp_path: Path) -> None:
    mine = tmp_path / "milestones"
    shutil.copytree(MILESTONES, mine, ignore=shutil.ignore_patterns("__pycache__", "0*"))
    (mine / "01_1900_dreams").mkdir()
    (mine / "01_1900_dreams" / "dream.py").write_text(
        f"import sys; sys.path.append({str(mine)!r}); import claims\n"
        "if __name__ == '__main__': sys.exit(claims.state('it flies', 'it does not', False))\n"
    )
    done = table(mine, tmp_path)
    assert done.returncode == 1
    assert re.search(r"1900 │ dream +│ it flies │ it does not │ [\d.]+ +│ NOT kept", done.stdout)


def test_the_table_knows_its_years(tmp_path: Path) -> None:
    done = table(MILESTONES, tmp_path, "1958")
    assert done.returncode == 2
    assert "no milestone of 1958; there are 1957, 1969, 1986, 1998, 2017" in done.stderr
