"""From a list of samples to one batch of the same structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.tensor import Tensor


def collate(samples: Sequence[Any]) -> Any:
    """Stack samples: numbers, arrays and tensors along a new first axis; tuples, lists and dicts part by part.

    Strings, bytes and None stay a list. Raises ValueError when shapes or structures differ, TypeError for other types.

    >>> collate([(1, "one"), (2, "two")])
    (Tensor([1, 2]), ['one', 'two'])
    """
    if not samples:
        raise ValueError("collate: no samples; a batch holds at least one")
    first = samples[0]
    if isinstance(first, Tensor):
        return Tensor(_stack([sample.data for sample in samples]), dtype=first.dtype)
    if isinstance(first, np.ndarray | np.generic | bool | int | float):
        return Tensor(_stack([np.asarray(sample) for sample in samples]))
    if isinstance(first, str | bytes | None):
        return list(samples)
    if isinstance(first, dict):
        _agree([tuple(sample) for sample in samples], "keys")
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        _agree([len(sample) for sample in samples], "lengths")
        parts = [collate(part) for part in zip(*samples, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    raise TypeError(f"collate: samples of type {type(first).__name__}; give the loader a collate function of your own")


def _stack(arrays: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    _agree([array.shape for array in arrays], "shapes")
    return np.stack(arrays)


def _agree(properties: list[Any], what: str) -> None:
    for number, found in enumerate(properties):
        if found != properties[0]:
            raise ValueError(
                f"collate: {what} {properties[0]} (sample 0) and {found} (sample {number}) differ; "
                "pad them, or give the loader a collate function"
            )
