"""Checkpoints: what resumes, what is refused, and what is never lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tinytorch.data import DataLoader, TensorDataset
from tinytorch.layers import CrossEntropyLoss, Dropout, Linear, Module, Sequential, TensorFile, save
from tinytorch.optim import SGD
from tinytorch.tensor import Tensor, default_generator, manual_seed
from tinytorch.training import CheckpointError, EarlyStopping, Run, Trainer

from .problems import dataset, loader, network, pairs, trainer, weights


class Shuffled:
    """A source without a state: it draws its order from the default generator when an epoch begins."""

    def __iter__(self) -> Any:
        batches = pairs()
        return (batches[place] for place in default_generator().permutation(len(batches)))


SOURCES: dict[str, Any] = {
    "loader": loader,
    "prefetching loader": lambda: loader(prefetch=2),
    "loader with its own generator": lambda: loader(generator=7),
    "list": pairs,
    "iterable without a state": Shuffled,
    "iterator": lambda: (batch for _ in range(9) for batch in pairs()),
}


def full(**options: Any) -> Trainer:
    stopping = EarlyStopping(patience=3)
    return trainer(dropout=0.4, metrics=["accuracy"], clip_norm=1.0, callbacks=[stopping], **options)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("stop", [1, 4, 5, 6, 10, 13])
def test_a_resumed_run_ends_bit_for_bit_where_the_unbroken_one_ends(
    source: Any, accumulate: int, stop: int, tmp_path: Path
) -> None:
    unbroken = full(accumulate=accumulate)
    unbroken.fit(source(), pairs(1), steps=15, progress=False)
    after = default_generator().random()

    path = tmp_path / "run.safetensors"
    full(accumulate=accumulate, checkpoint=path).fit(source(), pairs(1), steps=stop, progress=False)
    resumed = full(accumulate=accumulate, checkpoint=path, seed=99)
    resumed.fit(source(), pairs(1), steps=15, resume=True, progress=False)
    assert weights(resumed) == weights(unbroken)
    ended, expected = resumed.run, unbroken.run
    assert (ended.step, ended.epoch, ended.loss) == (expected.step, expected.epoch, expected.loss)
    assert resumed.run.history.columns == unbroken.run.history.columns
    for name in unbroken.run.history.columns:
        np.testing.assert_array_equal(resumed.run.history[name], unbroken.run.history[name])
    assert default_generator().random() == after


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("step", [4, 5, 6])
def test_a_checkpoint_of_a_callback_resumes_too_also_at_the_end_of_an_epoch(
    source: Any, step: int, tmp_path: Path
) -> None:
    def save(run: Run) -> None:
        if run.step == step:
            run.save_checkpoint(tmp_path / "run")

    unbroken = trainer(dropout=0.4, callbacks=[save])
    unbroken.fit(source(), steps=12, progress=False)
    resumed = trainer(dropout=0.4, callbacks=[save], seed=9)
    resumed.run.load_checkpoint(tmp_path / "run")
    resumed.fit(source(), steps=12, progress=False)
    assert weights(resumed) == weights(unbroken)
    np.testing.assert_array_equal(resumed.run.history["epoch"], unbroken.run.history["epoch"])


@pytest.mark.parametrize("source", [loader, pairs])
def test_a_checkpoint_of_a_run_that_has_not_begun_resumes_with_any_data(source: Any, tmp_path: Path) -> None:
    unbroken = trainer(dropout=0.4)
    unbroken.run.save_checkpoint(tmp_path / "run")
    unbroken.fit(source(), steps=6, progress=False)
    resumed = trainer(dropout=0.4, seed=9)
    resumed.run.load_checkpoint(tmp_path / "run")
    resumed.fit(source(), steps=6, progress=False)
    assert weights(resumed) == weights(unbroken)


def test_generators_of_modules_and_named_ones_continue(tmp_path: Path) -> None:
    def make(seed: int) -> tuple[Trainer, np.random.Generator]:
        manual_seed(0)
        noise = np.random.Generator(np.random.MT19937(seed))
        model = Sequential(Linear(3, 8), Dropout(0.5, generator=np.random.default_rng(seed)), Linear(8, 3))

        def loss_fn(model: Module, batch: Any) -> Tensor:
            shaken = Tensor(batch[0].data + noise.normal(size=batch[0].shape).astype(np.float32))
            return CrossEntropyLoss()(model(shaken), batch[1])

        return Trainer(model, SGD(model, lr=0.1), loss_fn=loss_fn, generators={"noise": noise}), noise

    unbroken, noise = make(1)
    unbroken.fit(pairs(), steps=8, progress=False)
    first, _ = make(1)
    first.fit(pairs(), steps=3, progress=False)
    first.run.save_checkpoint(tmp_path / "run")
    second, noise_resumed = make(2)
    second.run.load_checkpoint(tmp_path / "run")
    second.fit(pairs(), steps=8, progress=False)
    assert weights(second) == weights(unbroken)
    assert noise_resumed.random() == noise.random()


def test_early_stopping_stays_stopped(tmp_path: Path) -> None:
    def make() -> Trainer:
        return trainer(callbacks=[EarlyStopping(patience=1, min_delta=1e9)], checkpoint=tmp_path / "run")

    make().fit(pairs(), pairs(1), epochs=9, progress=False)
    resumed = make()
    resumed.fit(pairs(), pairs(1), epochs=9, resume=True, progress=False)
    assert resumed.run.epoch == 2  # the first validation improves on infinity, the second does not


def test_resume_without_a_file_starts(tmp_path: Path) -> None:
    trained = trainer(checkpoint=tmp_path / "run")
    trained.fit(pairs(), steps=3, resume=True, progress=False)
    assert trained.run.step == 3
    assert (tmp_path / "run").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_checkpoints_come_when_they_are_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Run.save_checkpoint
    monkeypatch.setattr(Run, "save_checkpoint", lambda run, path: (saved.append(run.step), write(run, path)))
    for every, expected in ((None, [5, 10, 12]), (4, [4, 8, 12])):
        saved: list[int] = []
        model = network()
        trained = Trainer(
            model, SGD(model), CrossEntropyLoss(), checkpoint=tmp_path / f"run{every}", checkpoint_every=every
        )
        trained.fit(pairs(), steps=12, progress=False)
        assert saved == expected


def test_a_checkpoint_is_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    trained = trainer(checkpoint=tmp_path / "run.safetensors")
    trained.fit(pairs(), steps=2, progress=False)
    arrays = load_file(tmp_path / "run.safetensors")
    for name, tensor in trained.run.model.state_dict().items():
        np.testing.assert_array_equal(arrays[f"model.{name}"], tensor.data)
    assert "optimizer.0.m" in arrays


def good(tmp_path: Path) -> tuple[Trainer, Path, bytes]:
    path = tmp_path / "run.safetensors"
    trained = trainer(checkpoint=path)
    trained.fit(pairs(), steps=3, progress=False)
    return trained, path, path.read_bytes()


def unchanged(trained: Trainer) -> Any:
    _, optimizer = trained.run.optimizer.state_dict().values()
    return weights(trained), trained.run.step, str(optimizer), default_generator().bit_generator.state


@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_checkpoint_is_a_clear_error_and_changes_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trained, path, whole = good(tmp_path_factory.mktemp("damaged"))
    trained.fit(pairs(), steps=4, progress=False)
    before = unchanged(trained)
    spoiled = bytearray(whole)
    if data.draw(st.booleans(), label="truncated"):
        spoiled = spoiled[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        spoiled[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(spoiled)
    try:
        trained.run.load_checkpoint(path)
    except CheckpointError as error:
        assert path.name in str(error)
        assert unchanged(trained) == before
        assert path.read_bytes() == spoiled
    else:  # a changed space between two names says the same
        trained.run.save_checkpoint(path)
        assert path.read_bytes() == whole


def test_a_damaged_checkpoint_is_not_resumed_and_not_overwritten(tmp_path: Path) -> None:
    _, path, whole = good(tmp_path)
    path.write_bytes(whole[:-7])
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        trainer(checkpoint=path).fit(pairs(), steps=9, resume=True, progress=False)
    with pytest.raises(FileExistsError, match=r"run\.safetensors.*\n.*not replaced"):
        trainer(checkpoint=path).fit(pairs(), steps=9, progress=False)
    assert path.read_bytes() == whole[:-7]


def foreign(path: Path, how: str) -> None:
    if how == "text":
        path.write_text("my only novel")
    elif how == "weights":
        save(network(), path)
    elif how == "newer":
        save_file({"x": np.zeros(1)}, path, {"tinytorch.checkpoint": json.dumps({"version": 99})})
    else:
        save_file({"x": np.zeros(1)}, path, {"tinytorch.checkpoint": "{"})


@pytest.mark.parametrize("how", ["text", "weights", "newer", "broken header"])
def test_a_foreign_file_is_neither_loaded_nor_replaced(how: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    foreign(path, how)
    content = path.read_bytes()
    trained = trainer()
    before = unchanged(trained)
    with pytest.raises(CheckpointError, match="file"):
        trained.run.load_checkpoint(path)
    with pytest.raises(FileExistsError, match="not replaced"):
        trained.run.save_checkpoint(path)
    assert unchanged(trained) == before
    assert path.read_bytes() == content


def other(how: str) -> Trainer:
    if how == "model":
        model: Module = Linear(3, 3)
        return Trainer(model, SGD(model), CrossEntropyLoss())
    if how == "optimizer":
        model = network()
        return Trainer(model, SGD(model), CrossEntropyLoss())
    if how == "callbacks":
        return trainer(callbacks=[EarlyStopping()])
    if how == "generators":
        return trainer(generators={"mine": np.random.default_rng(0)})
    of = trainer().run
    return Trainer(of.model, of.optimizer, CrossEntropyLoss())


@pytest.mark.parametrize("how", ["model", "optimizer", "callbacks", "generators", "schedule"])
def test_a_checkpoint_of_another_run_changes_nothing(how: str, tmp_path: Path) -> None:
    _, path, _ = good(tmp_path)
    trained = other(how)
    before = unchanged(trained)
    with pytest.raises(CheckpointError, match="does not fit, nothing was changed"):
        trained.run.load_checkpoint(path)
    assert unchanged(trained) == before


class Unfit:
    """Takes half of a state, then refuses it."""

    def __init__(self) -> None:
        self.seen: list[int] = [1]

    def __call__(self, run: Run) -> None:
        self.seen.append(run.step)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen[:] = state["seen"]
        if len(self.seen) > 3:
            raise ValueError("too many")


def test_a_callback_that_refuses_its_state_gets_its_own_back(tmp_path: Path) -> None:
    trainer(callbacks=[Unfit()], checkpoint=tmp_path / "run").fit(pairs(), steps=3, progress=False)
    unfit = Unfit()
    with pytest.raises(CheckpointError, match="does not fit, nothing was changed: too many"):
        trainer(callbacks=[unfit]).run.load_checkpoint(tmp_path / "run")
    assert unfit.seen == [1]


class Notebook:
    """Remembers anything, and writes something down at every step."""

    def __init__(self, content: Any = None) -> None:
        self.content = content

    def __call__(self, run: Run) -> None:
        self.content = run.step

    def state_dict(self) -> Any:
        return {"content": self.content}

    def load_state_dict(self, state: Any) -> None:
        self.content = state["content"]


CONTENTS: list[Any] = [
    None, True, 3, 2.5, float("inf"), "text", [], [1, [2]], (), (1, ("a", [2])), {}, {"a": {"b": 1}},
    {1: "one", "1": 1}, {(1, 2): 3.0, None: 4}, {"$array": 1}, {"$tuple": [1]}, np.arange(6).reshape(2, 3),
    np.float32(0.1), np.float64(0.1), np.int8(3), np.bool_(True), np.array(2.0),
    {"table": [np.zeros((0, 2)), (np.array([True]),)]},
]  # fmt: skip


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray | np.generic):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
def test_the_state_of_a_callback_comes_back_unchanged(content: Any, tmp_path: Path) -> None:
    trainer(callbacks=[Notebook(content)]).run.save_checkpoint(tmp_path / "run")
    again = Notebook()
    trainer(callbacks=[again]).run.load_checkpoint(tmp_path / "run")
    assert equal(content, again.content)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({1, 2}, " is a set"),
        ([1, Tensor([1.0])], r"\[1\] is a Tensor"),
        ({frozenset(): 1}, " is a frozenset"),
        (np.array(["text"]), " is a ndarray"),
        (1j, " is a complex"),
    ],
)
def test_a_state_that_no_file_can_hold_is_refused_by_name_before_the_first_step(
    content: Any, where: str, tmp_path: Path
) -> None:
    trained = trainer(callbacks=[Notebook(content)], checkpoint=tmp_path / "run")
    with pytest.raises(
        TypeError, match=rf"checkpoint: .*the run\['callbacks'\]\['0 Notebook'\]\['content'\]{where}; a state is"
    ):
        trained.fit(pairs(), steps=3, progress=False)
    assert trained.run.step == 0
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "novel").write_text("my only novel")
    for path in (tmp_path / "none" / "run", tmp_path, tmp_path / "novel", Path("/proc/run")):
        trained = trainer(checkpoint=path)
        with pytest.raises(OSError, match=path.name):
            trained.fit(pairs(), steps=3, progress=False)
        assert trained.run.step == 0
    assert [file.name for file in tmp_path.iterdir()] == ["novel"]


def test_a_longer_run_is_not_replaced_by_one_that_starts_over(tmp_path: Path) -> None:
    trained, path, whole = good(tmp_path)
    over = trainer(checkpoint=path)
    with pytest.raises(FileExistsError, match=r"is of a run of 3 steps, this one has 0.*\n.*resume=True.*move it away"):
        over.fit(pairs(), steps=9, progress=False)
    assert over.run.step == 0
    assert path.read_bytes() == whole
    trained.fit(pairs(), steps=4, progress=False)
    over.fit(pairs(), steps=5, resume=True, progress=False)
    assert over.run.step == 5


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, path, _ = good(tmp_path)
    trained.fit(pairs(), steps=4, progress=False)
    trained.run.save_checkpoint(tmp_path / "later")

    class Replaced(TensorFile):
        def __init__(self, path: Any) -> None:
            super().__init__(path)
            if (tmp_path / "later").exists():
                (tmp_path / "later").replace(path)

    monkeypatch.setattr("tinytorch.training.checkpoint.TensorFile", Replaced)
    (tmp_path / "copy").write_bytes((tmp_path / "later").read_bytes())
    read = trainer()
    read.run.load_checkpoint(path)
    assert read.run.step == 4
    assert path.read_bytes() == (tmp_path / "copy").read_bytes()


class Flaky(TensorDataset):
    """Its fourteenth batch cannot be read at first."""

    reads = 0

    def batch(self, indices: Any) -> Any:
        Flaky.reads += 1
        if Flaky.reads == 14:
            raise OSError("the disk hiccuped")
        return super().batch(indices)


class FlakyList:
    """The same without a state."""

    def __iter__(self) -> Iterator[Any]:
        for batch in pairs():
            Flaky.reads += 1
            if Flaky.reads == 14:
                raise OSError("the disk hiccuped")
            yield batch


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize(
    "source",
    [
        lambda: DataLoader(Flaky(*dataset().tensors), 8, shuffle=True),
        lambda: DataLoader(Flaky(*dataset().tensors), 8, shuffle=True, prefetch=2),
        FlakyList,
    ],
    ids=["loader", "prefetching loader", "iterable"],
)
@pytest.mark.parametrize("saved", [False, True], ids=["same trainer", "from a checkpoint"])
def test_after_an_error_of_the_data_the_epoch_is_continued(
    source: Any, accumulate: int, saved: bool, tmp_path: Path
) -> None:
    Flaky.reads = 100
    unbroken = trainer(dropout=0.4, accumulate=accumulate)
    unbroken.fit(source(), epochs=4, progress=False)

    Flaky.reads = 0
    broken, data = trainer(dropout=0.4, accumulate=accumulate), source()
    with pytest.raises(OSError, match="hiccuped"):
        broken.fit(data, epochs=4, progress=False)
    assert (broken.run.epoch, broken.run.data.batch) == (3, 3 // accumulate * accumulate)
    if saved:
        broken.run.save_checkpoint(tmp_path / "run")
        broken, data = trainer(dropout=0.4, accumulate=accumulate, seed=9), source()
        broken.run.load_checkpoint(tmp_path / "run")
    broken.fit(data, epochs=4, progress=False)
    assert weights(broken) == weights(unbroken)
    np.testing.assert_array_equal(broken.run.history["epoch"], unbroken.run.history["epoch"])


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    trainer(checkpoint=path).fit(loader(), steps=3, progress=False)
    with pytest.raises(ValueError, match="another kind of loader"):
        trainer(checkpoint=path).fit(pairs(), steps=9, resume=True, progress=False)
    with pytest.raises(ValueError, match=r"samples 40 \(here 8"):
        trainer(checkpoint=path).fit(DataLoader(range(8)), steps=9, resume=True, progress=False)
    path.unlink()
    trainer(checkpoint=path).fit(pairs(), steps=4, progress=False)
    with pytest.raises(ValueError, match="at batch 4 of an epoch; the data has fewer"):
        trainer(checkpoint=path).fit(pairs(2), steps=9, resume=True, progress=False)


def test_a_missing_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        trainer().run.load_checkpoint(tmp_path / "none")


FULL_DISK = """
import signal, sys
from resource import RLIMIT_FSIZE, setrlimit
sys.path.insert(0, {tests!r})
from problems import pairs, trainer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
trained = trainer(checkpoint={path!r})
trained.fit(pairs(), steps=2, progress=False)
before = open({path!r}, "rb").read()
setrlimit(RLIMIT_FSIZE, (1000, 1000))
try:
    trained.fit(pairs(), steps=4, progress=False)
except OSError as error:
    print(error)
assert open({path!r}, "rb").read() == before
"""


def test_a_full_disk_loses_no_earlier_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run"
    script = FULL_DISK.format(tests=str(Path(__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "could not be written" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    resumed = trainer(checkpoint=path)
    resumed.fit(pairs(), steps=2, resume=True, progress=False)
    assert resumed.run.step == 2


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "run", Path("/proc/run")):
        with pytest.raises(OSError, match="could not be written"):
            trainer().run.save_checkpoint(path)


def interrupt(run: Run) -> None:
    if run.step == 3:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT as at a terminal; a program that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_finishes_the_step_saves_and_raises(tmp_path: Path) -> None:
    path = tmp_path / "run"
    trained = trainer(dropout=0.4, checkpoint=path, callbacks=[interrupt])
    with pytest.raises(KeyboardInterrupt):
        trained.fit(loader(), steps=12, progress=False)
    assert trained.run.step == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = trainer(dropout=0.4, checkpoint=path, seed=5)
    resumed.fit(loader(), steps=12, resume=True, progress=False)
    unbroken = trainer(dropout=0.4)
    unbroken.fit(loader(), steps=12, progress=False)
    assert weights(resumed) == weights(unbroken)


def test_sigterm_finishes_the_step_saves_and_exits(tmp_path: Path) -> None:
    def terminate(run: Run) -> None:
        if run.step == 3:
            signal.raise_signal(signal.SIGTERM)

    path = tmp_path / "run"
    with pytest.raises(SystemExit) as exit_:
        trainer(checkpoint=path, callbacks=[terminate]).fit(loader(), steps=12, progress=False)
    assert exit_.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    resumed = trainer(checkpoint=path)
    resumed.run.load_checkpoint(path)
    assert resumed.run.step == 3


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_does_not_wait() -> None:
    def twice(run: Run) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt):
        trainer(callbacks=[twice]).fit(pairs(), steps=3, progress=False)


def test_a_program_that_handles_ctrl_c_keeps_its_handler() -> None:
    heard = []
    previous = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        trained = trainer(callbacks=[interrupt])
        trained.fit(pairs(), steps=5, progress=False)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert heard == [True]
    assert trained.run.step == 5
