"""Datasets: indexing, batches that equal their samples, splits that cover."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.data import Dataset, Subset, TensorDataset, collate, random_split
from tinytorch.tensor import Tensor, manual_seed


class Squares(Dataset[int]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        return index**2


def rows(count: int = 10) -> TensorDataset:
    return TensorDataset(np.arange(2.0 * count).reshape(count, 2), np.arange(count))


def same(left: Any, right: Any) -> bool:
    return len(left) == len(right) and all(
        a.dtype == b.dtype and np.array_equal(a.data, b.data) for a, b in zip(left, right, strict=True)
    )


def test_a_dataset_is_a_sequence_of_its_samples() -> None:
    assert list(Squares()) == [0, 1, 4, 9, 16, 25]
    assert Squares().batch(np.array([5, 0])).tolist() == [25, 0]


@given(st.lists(st.integers(-10, 9), min_size=1, max_size=20))
def test_a_batch_is_its_samples_stacked(indices: list[int]) -> None:
    dataset = rows()
    assert same(dataset.batch(np.array(indices)), collate([dataset[index] for index in indices]))


def test_tensors_of_any_number_type_keep_it() -> None:
    for dtype in (np.uint8, np.int32, np.float16, np.bool_):
        images, wide = TensorDataset(np.ones((4, 3), dtype=dtype), Tensor(np.ones(4), dtype=np.float64)).batch(
            np.array([1, 2])
        )
        assert images.dtype == dtype and wide.dtype == np.float64


def test_a_batch_does_not_share_memory_with_the_dataset() -> None:
    dataset = rows()
    dataset.batch(np.array([0]))[0].data[:] = 99
    assert dataset[0][0].tolist() == [0, 1]


@pytest.mark.parametrize("index", [10, -11])
def test_an_index_outside_is_refused(index: int) -> None:
    for dataset in (rows(), Subset(rows(), range(10))):
        with pytest.raises(IndexError, match=f"sample {index} of 10"):
            dataset[index]


@pytest.mark.parametrize("arrays", [(), (np.zeros(3), np.zeros(4)), (np.float64(3.0),)])
def test_arrays_of_different_lengths_are_refused(arrays: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="TensorDataset"):
        TensorDataset(*arrays)


def test_a_subset_has_the_chosen_samples_in_the_chosen_order() -> None:
    subset = Subset(Subset(rows(), [9, 3, -1, 5]), [2, 1])
    assert [label.item() for _, label in subset] == [9, 3]
    assert subset.batch(np.array([1, 0, -1]))[1].tolist() == [3, 9, 3]
    assert len(Subset(rows(), [])) == 0


@pytest.mark.parametrize(
    ("indices", "error"),
    [([10], IndexError), ([-11], IndexError), ([0.5], TypeError), ([[1]], TypeError), ([True], TypeError)],
)
def test_indices_that_choose_nothing_are_refused(indices: list[Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="Subset"):
        Subset(rows(), indices)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_random_split_covers_and_repeats(lengths: list[int], seed: int) -> None:
    dataset = rows(sum(lengths)) if sum(lengths) else Subset(rows(), [])
    parts = random_split(dataset, lengths, generator=np.random.default_rng(seed))
    again = random_split(dataset, lengths, generator=np.random.default_rng(seed))
    assert [len(part) for part in parts] == lengths
    assert sorted(index for part in parts for index in part.indices.tolist()) == list(range(len(dataset)))
    assert all(np.array_equal(one.indices, two.indices) for one, two in zip(parts, again, strict=True))


@given(st.integers(0, 200), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_fractions_cover_too(total: int, weights: list[int]) -> None:
    dataset: Dataset[Any] = rows(total) if total else Subset(rows(), [])
    fractions = [weight / sum(weights) for weight in weights]
    parts = random_split(dataset, fractions)
    assert sum(len(part) for part in parts) == total
    assert all(abs(len(part) - total * f) <= len(parts) for part, f in zip(parts, fractions, strict=True))


def test_what_rounding_leaves_over_goes_to_the_first_parts() -> None:
    assert [len(part) for part in random_split(rows(10), [1 / 3] * 3)] == [4, 3, 3]
    assert [len(part) for part in random_split(rows(11), [0.25] * 4)] == [3, 3, 3, 2]
    assert [len(part) for part in random_split(rows(10), [0.7, 0.2, 0.1])] == [7, 2, 1]


def test_random_split_draws_from_the_default_generator() -> None:
    manual_seed(3)
    first = random_split(rows(), [5, 5])[0].indices
    manual_seed(3)
    assert np.array_equal(first, random_split(rows(), [5, 5])[0].indices)


@pytest.mark.parametrize("lengths", [[], [5, 4], [0.5, 0.4], [11, -1], [1.5, -0.5]])
def test_lengths_that_do_not_cover_are_refused(lengths: list[float]) -> None:
    with pytest.raises(ValueError, match="random_split"):
        random_split(rows(), lengths)


def test_collate_keeps_the_structure() -> None:
    batch = collate([{"x": [1.5, "a"], "y": None}, {"x": [2.5, "b"], "y": None}])
    assert batch["x"][0].tolist() == [1.5, 2.5] and batch["x"][1] == ["a", "b"] and batch["y"] == [None, None]
    assert collate([Tensor(1.0, dtype=np.float64)]).dtype == np.float64
    assert collate([True, False]).dtype == np.bool_


@pytest.mark.parametrize(
    ("samples", "error"),
    [
        ([], ValueError),
        ([[1], [1, 2]], ValueError),
        ([np.zeros(2), np.zeros(3)], ValueError),
        ([{"a": 1}, {"b": 1}], ValueError),
        ([object()], TypeError),
    ],
)
def test_samples_that_do_not_stack_are_refused(samples: list[Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="collate"):
        collate(samples)


def test_a_seed_is_no_generator() -> None:
    with pytest.raises(TypeError, match="random_split: generator is a int"):
        random_split(TensorDataset(np.arange(4)), [0.5, 0.5], generator=0)  # type: ignore[arg-type]
