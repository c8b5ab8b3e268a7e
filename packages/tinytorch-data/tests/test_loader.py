"""The loader: every sample once, the same order for the same seed, and continuing anywhere."""

import gc
import json
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.data import Compose, DataLoader, Dataset, RandomCrop, RandomHorizontalFlip, TensorDataset, prefetched
from tinytorch.tensor import Tensor, default_generator, manual_seed


def numbers(loader: DataLoader) -> list[list[int]]:
    return [batch[0].tolist() for batch in loader]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "tinytorch-prefetch"]


@given(st.integers(1, 40), st.integers(1, 12), st.booleans(), st.booleans(), st.integers(0, 3))
def test_every_sample_comes_once(samples: int, batch_size: int, shuffle: bool, drop_last: bool, prefetch: int) -> None:
    loader = DataLoader(TensorDataset(np.arange(samples)), batch_size, shuffle, drop_last, 0, prefetch)
    batches = numbers(loader)
    seen = [number for batch in batches for number in batch]
    assert len(batches) == len(loader)
    assert len(seen) == len(set(seen)) == (samples // batch_size * batch_size if drop_last else samples)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    if not shuffle:
        assert seen == sorted(seen)


def test_epochs_differ_and_a_seed_repeats_them() -> None:
    def run(seed: int) -> list[list[list[int]]]:
        loader = DataLoader(TensorDataset(np.arange(50)), 7, shuffle=True, generator=seed)
        return [numbers(loader) for _ in range(3)]

    assert run(1) == run(1) != run(2)
    assert run(1)[0] != run(1)[1]


def test_without_a_generator_manual_seed_fixes_the_order() -> None:
    loader = DataLoader(TensorDataset(np.arange(50)), 7, shuffle=True)
    manual_seed(5)
    first = numbers(loader)
    manual_seed(5)
    assert numbers(loader) == first


def test_a_loader_without_randomness_draws_nothing() -> None:
    before = default_generator().bit_generator.state
    list(DataLoader(TensorDataset(np.arange(5)), 2))
    assert default_generator().bit_generator.state == before


def images(count: int = 23) -> TensorDataset:
    return TensorDataset(np.random.default_rng(0).random((count, 1, 6, 6)), np.arange(count))


def random_images(prefetch: int = 0, seed: int = 3) -> DataLoader:
    change = Compose(RandomCrop(6, padding=2), RandomHorizontalFlip())
    return DataLoader(images(), 5, shuffle=True, generator=seed, prefetch=prefetch, transform=change)


def pixels(batches: Iterator[Any]) -> list[bytes]:
    return [batch[0].data.tobytes() + batch[1].data.tobytes() for batch in batches]


def test_prefetching_changes_neither_order_nor_randomness() -> None:
    ahead, plain = random_images(prefetch=3), random_images()
    for _ in range(3):
        assert pixels(iter(ahead)) == pixels(iter(plain))


@given(st.integers(0, 14), st.integers(0, 3), st.integers(0, 3))
def test_resumed_anywhere_it_continues_as_if_unbroken(batches: int, before: int, after: int) -> None:
    unbroken = random_images()
    expected = pixels(iter(unbroken)) + pixels(iter(unbroken)) + pixels(iter(unbroken))

    seen: list[bytes] = []
    broken = random_images(before)
    while len(seen) < batches:
        seen += pixels(islice(broken, batches - len(seen)))
    state = json.loads(json.dumps(broken.state_dict()))

    resumed = random_images(after, seed=99)
    resumed.load_state_dict(state)
    assert resumed.epoch == broken.epoch and resumed.position == broken.position
    while len(seen) < len(expected):
        seen += pixels(iter(resumed))
    assert seen == expected


def test_the_state_says_what_was_handed_out_not_what_was_prefetched() -> None:
    loader = random_images(prefetch=4)
    for number, _ in enumerate(loader, start=1):
        assert (loader.epoch, loader.position) == (1, number)


def test_breaking_off_starts_a_new_epoch_next_time() -> None:
    loader = DataLoader(TensorDataset(np.arange(10)), 2)
    next(iter(loader))
    assert numbers(loader) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert loader.epoch == 2


def test_two_iterations_at_once_are_independent() -> None:
    loader = DataLoader(TensorDataset(np.arange(4)), 2)
    pairs = [(a[0].tolist(), b[0].tolist()) for a, b in zip(loader, loader, strict=True)]
    assert pairs == [([0, 1], [0, 1]), ([2, 3], [2, 3])]


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 6},
        {"samples": 24},
        {"shuffle": False},
        {"drop_last": True},
        {"position": 6},
        {"epoch": -1},
        {"generator": {"bit_generator": "MT19937"}},
        {"generator": None},
    ],
)
def test_a_foreign_state_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    loader = random_images()
    next(iter(loader))
    before = loader.state_dict()
    with pytest.raises(ValueError, match="DataLoader"):
        loader.load_state_dict({**random_images().state_dict(), **change})
    with pytest.raises(ValueError, match="lacks"):
        loader.load_state_dict({name: value for name, value in before.items() if name not in change})
    assert loader.state_dict() == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"batch_size": 0}, ValueError),
        ({"batch_size": True}, TypeError),
        ({"batch_size": 2.0}, TypeError),
        ({"prefetch": -1}, ValueError),
        ({"prefetch": True}, TypeError),
        ({"generator": "3"}, TypeError),
        ({"generator": True}, TypeError),
        ({"generator": -1}, ValueError),
        ({"generator": np.random.RandomState(0)}, TypeError),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_loader_is_made(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"DataLoader: {next(iter(options))} is"):
        DataLoader([1, 2], **options)


def test_a_seed_may_be_an_integer_of_numpy() -> None:
    assert numbers(DataLoader(TensorDataset(np.arange(9)), 9, True, generator=np.int64(3))) == numbers(
        DataLoader(TensorDataset(np.arange(9)), 9, True, generator=3)
    )


@pytest.mark.parametrize("drop_last", [False, True])
def test_resumed_at_the_end_of_an_epoch_the_next_one_begins(drop_last: bool) -> None:
    def loader() -> DataLoader:
        return DataLoader(TensorDataset(np.arange(7)), 2, shuffle=True, drop_last=drop_last, generator=4)

    whole = loader()
    first = numbers(whole)
    state = whole.state_dict()
    resumed = loader()
    resumed.load_state_dict(state)
    assert numbers(resumed) == numbers(whole) != first
    assert resumed.epoch == 2


def test_no_transform_draws_the_numbers_that_made_the_order() -> None:
    samples = 40
    draws: list[list[int]] = []

    def draw(x: Tensor, generator: np.random.Generator) -> Tensor:
        draws.append(generator.permutation(samples).tolist())
        return x

    (order,) = numbers(DataLoader(TensorDataset(np.arange(samples)), samples, True, generator=0, transform=draw))
    list(DataLoader(TensorDataset(np.arange(samples)), samples // 4, True, generator=0, transform=draw))
    assert draws[0] == draws[1]  # the first batch of the same epoch
    assert order not in draws and len({*map(tuple, draws[1:])}) == 4


def test_any_sequence_can_be_loaded_and_collated() -> None:
    assert [batch.tolist() for batch in DataLoader([1, 2, 3], 2)] == [[1, 2], [3]]
    assert list(DataLoader(["a", "bc", "d"], 2, collate="".join)) == ["abc", "d"]
    assert list(DataLoader([], 2)) == []


@pytest.mark.parametrize(
    "samples", [[np.ones(2)], [(np.ones(2), 1)], [[np.ones(2), 1]], [{"image": np.ones(2), "label": 1}]]
)
def test_a_transform_changes_the_first_part_only(samples: list[Any]) -> None:
    def double(x: Tensor, generator: np.random.Generator) -> Any:
        return x.data * 2

    (batch,) = DataLoader(samples, transform=double)
    parts = [batch] if isinstance(batch, Tensor) else list(batch.values() if isinstance(batch, dict) else batch)
    assert isinstance(parts[0], Tensor) and parts[0].tolist() == [[2, 2]]
    assert [part.tolist() for part in parts[1:]] == [[1]] * (len(parts) - 1)


def test_a_batch_without_a_first_part_cannot_be_transformed() -> None:
    with pytest.raises(TypeError, match="transform it in collate"):
        list(DataLoader(["a"], collate="".join, transform=Compose()))


class Faulty(Dataset[int]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        if index == 7:
            raise OSError("the disk is gone")
        return index


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_an_error_reaches_the_consumer_after_the_batches_before_it(prefetch: int) -> None:
    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        for batch in DataLoader(Faulty(), 2, prefetch=prefetch):
            seen.append(batch.tolist())
    assert seen == [[0, 1], [2, 3], [4, 5]]
    assert not threads()


def test_abandoned_iterations_leave_no_thread() -> None:
    for count in range(4):
        iteration = iter(random_images(prefetch=2))
        for _ in range(count):
            next(iteration)
        del iteration
    gc.collect()
    assert not threads()


def test_no_more_is_made_ahead_than_asked_for() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    ahead = prefetched(source(), depth=3)
    for taken in range(1, 50):
        assert next(ahead) == taken - 1
        assert len(made) <= taken + 3
    ahead.close()
    assert not threads()


def test_an_abandoned_iteration_does_not_wait_for_a_slow_sample() -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        yield 0
        begun.set()
        release.wait(50)
        ended.set()
        yield 1

    ahead = prefetched(source(), depth=1)
    assert next(ahead) == 0
    assert begun.wait(50)
    ahead.close()
    assert not ended.is_set()
    release.set()
    assert ended.wait(50)


@pytest.mark.parametrize(("depth", "error"), [(0, ValueError), (True, TypeError)])
def test_prefetching_nothing_is_refused(depth: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"prefetched: depth is .*; it must be an int, at least 1"):
        prefetched([1], depth=depth)


def test_a_tensor_dataset_is_gathered_once_per_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda self, index: pytest.fail("sample by sample"))
    assert [len(batch[1]) for batch in DataLoader(images(), 5, shuffle=True)] == [5, 5, 5, 5, 3]
