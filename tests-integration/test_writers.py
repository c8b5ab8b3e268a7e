"""Every writer of every stage writes as `replacing` does: links and modes stay, and no part of a file is ever seen."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytorch.attention import plot_attention
from tinytorch.benchmarking import (
    Competition,
    Point,
    Quality,
    Result,
    SimulatedClock,
    Submission,
    compare,
    plot_pareto,
    save_submission,
    write_page,
)
from tinytorch.benchmarking import save as save_results
from tinytorch.compression import Sensitivity
from tinytorch.kvcache import KVCache
from tinytorch.layers import Linear, save, save_tensors
from tinytorch.optim import SGD
from tinytorch.profiler import Profiler
from tinytorch.quantization import save_gguf, write_gguf
from tinytorch.tensor import Tensor, ones
from tinytorch.tokenizers import BPETokenizer, CharTokenizer
from tinytorch.training import Dashboard, History, Trainer
from tinytorch.transformer import GPT

Writer = Callable[[Path], Any]


def history() -> History:
    made = History()
    made.record(step=1, loss=2.0)
    return made


def trainer() -> Trainer:
    model = Linear(2, 1)
    return Trainer(model, SGD(model.parameters(), lr=0.1), lambda out, y: ((out - y) ** 2).mean())


def profile() -> Profiler:
    with Profiler() as made:
        ones(3) + 1
    return made


def result() -> Result:
    clock = SimulatedClock()
    return compare({"a": lambda: clock.sleep(1.0)}, turns=2, clock=clock)


def submission() -> Submission:
    return Submission("c", "title", "team", Quality("accuracy", 0.9, 10), result(), "a", 10, 40)


WRITERS: dict[str, Writer] = {
    "weights": lambda path: save(Linear(2, 3), path),
    "tensors": lambda path: save_tensors({"x": Tensor([1.0])}, path),
    "cache": lambda path: KVCache(1, 4, 1, 1, 2).save(path),
    "characters": lambda path: CharTokenizer("abc").save(path),
    "byte pairs": lambda path: BPETokenizer.train(["abc abc"], vocab_size=260).save(path),
    "gguf": lambda path: write_gguf(path, {"x": Tensor([1.0])}),
    "gguf model": lambda path: save_gguf(GPT(5, 8, 1, 2, 4), path),
    "checkpoint": lambda path: trainer().run.save_checkpoint(path),
    "dashboard": lambda path: Dashboard().save_svg(path),
    "table": lambda path: history().to_csv(path),
    "curve": lambda path: history().plot(path),
    "trace": lambda path: profile().export_chrome_trace(path),
    "report": lambda path: profile().report(path),
    "sensitivity": lambda path: Sensitivity((0.5,), 1.0, {"fc": (0.5,)}).plot(path),
    "attention": lambda path: plot_attention(ones(2, 2) / 2, path=path),
    "results": lambda path: save_results(path, result()),
    "submission": lambda path: save_submission(path, submission()),
    "ranking": lambda path: write_page(path, [submission()], Competition("c")),
    "front": lambda path: plot_pareto([Point("a", 1.0, 1.0, 1.0)], path),
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@every_writer
def test_file_appears_and_nothing_else(write: Writer, tmp_path: Path) -> None:
    path = tmp_path / "written.svg"
    write(path)
    assert path.stat().st_size > 0
    assert os.listdir(tmp_path) == [path.name]


@every_writer
@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_link_and_mode_are_kept(write: Writer, tmp_path: Path) -> None:
    target, link = tmp_path / "target.svg", tmp_path / "link.svg"
    write(target)
    target.chmod(0o600)
    before = target.stat().st_ino
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.stat().st_ino != before  # another file took the place of the first, in one step


@every_writer
def test_longest_name_that_the_file_system_allows(write: Writer, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".svg")
    write(path)
    assert path.exists()


@pytest.mark.parametrize("name", WRITERS.keys() - {"byte pairs"})  # a tokenizer's file in a folder has a usual name
def test_folder_is_refused_and_stays_empty(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is a folder"):
        WRITERS[name](tmp_path)
    assert os.listdir(tmp_path) == []


@every_writer
def test_missing_folder_is_named(write: Writer, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        write(tmp_path / "missing" / "file.svg")
