"""Putting other values into tensors by name: all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tinytorch.tensor import Array, Tensor, array_of, note_write

from .errors import StateError


class Mismatch(NamedTuple):
    """Names that the module has and the values lack, and the other way round."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load(owner: str, own: dict[str, Tensor], values: Mapping[str, Any], strict: bool) -> Mismatch:
    """Write `values` into the tensors of the same names, or raise StateError and change nothing."""
    if not isinstance(values, Mapping):
        raise TypeError(
            f"load_state_dict: got a {type(values).__name__}; it must be tensors or arrays by name: for a file use load"
        )
    arrays = {name: _array(value) for name, value in values.items()}
    present = {id(own[name]) for name in own.keys() & arrays.keys()}
    # a shared parameter is complete when one of its names is there
    missing = [name for name, tensor in own.items() if name not in arrays and id(tensor) not in present]
    unexpected = [name for name in arrays if name not in own]
    wrong = [problem for name, tensor in own.items() if name in arrays for problem in _misfits(name, tensor, arrays)]
    wrong += _conflicts(own, arrays)
    if strict:
        wrong = [f"missing: {name}" for name in missing] + [f"unexpected: {name}" for name in unexpected] + wrong
    if wrong:
        count = f"{len(wrong)} {'entry does' if len(wrong) == 1 else 'entries do'}"
        raise StateError("\n  ".join([f"load_state_dict: {owner} was left as it was, {count} not fit", *wrong]))
    for name, tensor in own.items():
        if name in arrays:
            write(tensor, arrays[name])
    return Mismatch(missing, unexpected)


def _array(value: Any) -> Array:
    try:
        return array_of(value)
    except ValueError:  # a list of lists of different lengths
        return np.asarray(None)


def _misfits(name: str, tensor: Tensor, arrays: dict[str, Array]) -> list[str]:
    value = arrays[name]
    if value.dtype.kind not in "bifuc":
        return [f"not numbers: {name} is {tensor.shape}, the value is not an array of numbers"]
    if value.shape != tensor.shape:
        transposed = value.ndim == 2 and value.shape[::-1] == tensor.shape
        hint = " (Linear weights are (in_features, out_features): transpose it?)" if transposed else ""
        return [f"wrong shape: {name} is {tensor.shape}, the value is {value.shape}{hint}"]
    if not np.can_cast(value.dtype, tensor.dtype, "safe"):
        return [f"wrong dtype: {name} is {tensor.dtype}, the value is {value.dtype}; convert one with astype"]
    return []


def _conflicts(own: dict[str, Tensor], arrays: dict[str, Array]) -> list[str]:
    """Names of one shared parameter whose values differ."""
    first: dict[int, str] = {}
    conflicts = []
    for name, tensor in own.items():
        if name in arrays:
            other = first.setdefault(id(tensor), name)
            if other != name and not np.array_equal(arrays[other], arrays[name], equal_nan=True):
                conflicts.append(f"one parameter, two values: {other} and {name}")
    return conflicts


def write(tensor: Tensor, value: Array | float) -> None:
    """Replace the numbers of the tensor by `value`."""
    if tensor.data.flags.writeable:
        tensor.data[...] = value
        note_write(tensor.data)
    else:
        tensor.data = np.full(tensor.shape, value, tensor.dtype)
