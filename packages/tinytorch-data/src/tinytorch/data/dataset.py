"""What can be trained on: samples with a length, an index, and a way to take a whole batch at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Tensor, generator_for

from .collate import collate

Sample = TypeVar("Sample", covariant=True)
Indices = npt.NDArray[np.integer[Any]]


class Dataset(ABC, Generic[Sample]):
    """Samples numbered from 0 to `len(dataset) - 1`. A subclass gives `__len__` and `__getitem__`.

    >>> class Squares(Dataset[int]):
    ...     def __len__(self) -> int:
    ...         return 5
    ...     def __getitem__(self, index: int) -> int:
    ...         return index**2
    >>> Squares().batch(np.array([1, 3]))
    Tensor([1, 9])
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def batch(self, indices: Indices) -> Any:
        """The samples at `indices`, stacked; override it where a batch can be had faster than sample by sample."""
        return collate([self[int(index)] for index in indices])


def position(index: int, length: int, name: str) -> int:
    """`index` counted from the front. Raises IndexError outside -length .. length - 1."""
    if not -length <= index < length:
        raise IndexError(f"{name}: sample {index} of {length}; indices run from {-length} to {length - 1}")
    return index % length


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Arrays or tensors of equal length, row by row: `(images, labels)`.

    A batch is one NumPy gather per array. Floating-point arrays become the default dtype once, here.
    Raises ValueError without arrays, for a 0-dimensional one, or when the lengths differ.

    >>> pairs = TensorDataset([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    >>> pairs[1]
    (Tensor([3., 4.]), Tensor(1))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise ValueError("TensorDataset: no arrays; give at least one, for example TensorDataset(images, labels)")
        self.tensors = tuple(array if isinstance(array, Tensor) else Tensor(array) for array in arrays)
        shapes = [tensor.shape for tensor in self.tensors]
        if not all(shapes) or len({shape[0] for shape in shapes}) != 1:
            raise ValueError(f"TensorDataset: shapes {shapes}; the first axis counts the samples and must agree")

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        row = position(index, len(self), "TensorDataset")
        return tuple(Tensor(t.data[row], dtype=t.dtype) for t in self.tensors)

    def batch(self, indices: Indices) -> tuple[Tensor, ...]:
        return tuple(Tensor(t.data.take(indices, axis=0), dtype=t.dtype) for t in self.tensors)


class Subset(Dataset[Sample]):
    """The samples of `dataset` at `indices`, in that order.

    Raises TypeError unless the indices are integers, IndexError when one is outside the dataset.

    >>> list(Subset(TensorDataset([10, 20, 30]), [2, 0]))
    [(Tensor(30),), (Tensor(10),)]
    """

    def __init__(self, dataset: Dataset[Sample], indices: Sequence[int] | Indices) -> None:
        chosen = np.asarray(indices)
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise TypeError(f"Subset: indices {chosen.dtype} of shape {chosen.shape}; give one row of integers")
        length = len(dataset)
        outside = chosen[(chosen < -length) | (chosen >= length)]
        if outside.size:
            raise IndexError(f"Subset: index {outside[0]} in a dataset of {length} samples")
        self.dataset = dataset
        self.indices: Indices = chosen.astype(np.int64) % max(length, 1)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[int(self.indices[position(index, len(self), "Subset")])]

    def batch(self, indices: Indices) -> Any:
        return self.dataset.batch(self.indices[indices])


def random_split(
    dataset: Dataset[Sample], lengths: Sequence[int | float], generator: np.random.Generator | None = None
) -> list[Subset[Sample]]:
    """Cut `dataset` into disjoint random parts that cover it.

    `lengths` are sample counts that add up to `len(dataset)`, or fractions that add up to 1 (what rounding leaves over
    goes to the first parts, one each). Raises ValueError when they do neither.

    >>> train, test = random_split(TensorDataset(range(10)), [0.8, 0.2])
    >>> len(train), len(test)
    (8, 2)
    """
    counts = _counts(lengths, len(dataset))
    order = generator_for("random_split", generator).permutation(len(dataset))
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(counts)[:-1])]


def _counts(lengths: Sequence[int | float], total: int) -> list[int]:
    if any(length < 0 for length in lengths):
        raise ValueError(f"random_split: lengths {list(lengths)}; a length is at least 0")
    if all(isinstance(length, int) for length in lengths) and sum(lengths) == total and lengths:
        return [int(length) for length in lengths]
    if not np.isclose(sum(lengths), 1.0) or not lengths:
        raise ValueError(
            f"random_split: lengths {list(lengths)} add up to {sum(lengths)}; "
            f"give counts that add up to {total} or fractions that add up to 1"
        )
    counts = [int(total * length + 1e-9) for length in lengths]
    for part in range(total - sum(counts)):
        counts[part % len(counts)] += 1
    return counts
