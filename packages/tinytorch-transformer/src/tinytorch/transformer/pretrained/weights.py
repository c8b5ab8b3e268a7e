"""Putting the arrays of a checkpoint into the parameters of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tinytorch.layers import Linear, Module, Parameter
from tinytorch.tensor import Array

from .checkpoint import Checkpoint


class Names(NamedTuple):
    """What a family calls its weights."""

    modules: Mapping[str, str]
    """Our module (or parameter without one) -> theirs; `{i}` is the number of a block, `@k/n` the k-th of n parts."""

    prefix: str
    """What may stand before their names."""

    ignored: str
    """A pattern of names that hold nothing learned, or copies."""

    ours: str = ""
    """A pattern of linear weights that are (in_features, out_features) already; PyTorch's are transposed."""


def fill(model: Module, names: Names, checkpoint: Checkpoint) -> None:
    """Set every parameter of `model` from the checkpoint.

    Raises ValueError that lists what is missing, what is left over, and what has the wrong shape.
    """
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Linear)}
    wanted: dict[str, list[tuple[str, Parameter, int, int]]] = {}
    for name, parameter in model.named_parameters():
        source, part, parts = _source(name, names)
        wanted.setdefault(source, []).append((name, parameter, part, parts))
    filled: set[str] = set()
    unexpected, wrong = [], []
    for their_name, array in checkpoint.arrays():
        source = _plain(their_name, names)
        if source not in wanted:
            if not re.fullmatch(names.ignored, source):
                unexpected.append(their_name)
            continue
        filled.add(source)
        for name, parameter, part, parts in wanted[source]:
            value = _as_ours(array, part, parts, name in linear and not re.fullmatch(names.ours, source))
            if value.shape != parameter.shape:
                wrong.append(f"{their_name} {array.shape} for {name} {parameter.shape}")
            else:
                parameter.data = np.array(value, parameter.dtype, order="C")
    missing = [source for source in wanted if source not in filled]
    problems = {"missing": missing, "unexpected": unexpected, "wrong shape": wrong}
    said = "; ".join(f"{kind}: {_some(found)}" for kind, found in problems.items() if found)
    if said:
        raise ValueError(f"load_pretrained: {checkpoint.folder} does not fit its config.json: {said}")


def _source(name: str, names: Names) -> tuple[str, int, int]:
    """Their name for our parameter, and which part of how many of that array it is."""
    block = re.search(r"\.(\d+)\.", name)
    template = name if block is None else name.replace(block[0], ".{i}.", 1)
    module, _, leaf = template.rpartition(".")
    theirs = names.modules[template] if template in names.modules else f"{names.modules[module]}.{leaf}"
    theirs, _, share = theirs.replace("{i}", block[1] if block else "").partition("@")
    if not share:
        return theirs, 0, 1
    share, _, leaf = share.partition(".")
    part, parts = share.split("/")
    return f"{theirs}.{leaf}", int(part), int(parts)


def _plain(name: str, names: Names) -> str:
    """Their name without the prefix, and with the words of today for a norm's parameters."""
    name = name.removeprefix(names.prefix)
    return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))


def _as_ours(array: Array, part: int, parts: int, transposed: bool) -> Array:
    """The part of `array` that is ours, with a linear layer's weight as (in_features, out_features)."""
    if transposed:
        array = array.T
    if parts == 1 or array.shape[-1] % parts:
        return array
    size = array.shape[-1] // parts
    return array[..., part * size : (part + 1) * size]


def _some(names: list[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
