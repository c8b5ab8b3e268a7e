"""Putting the arrays of a checkpoint into the parameters of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from tinytorch.layers import Linear, Parameter, TensorFile
from tinytorch.tensor import Array, FileFormatError

from ..bert import BERT
from ..config import DType, TransformerConfig
from ..gpt import GPT
from .checkpoint import Checkpoint


class Family(NamedTuple):
    """How the model of a checkpoint is made, and what its weights are called."""

    config: TransformerConfig
    make: Callable[[DType], GPT | BERT]
    modules: Mapping[str, str]  # our module -> theirs; {i} is the number of a block, @k/n the k-th of n parts
    prefix: str  # that their names may begin with
    copies: Mapping[str, str]  # name of a copy -> name of what it must be equal to
    constants: Mapping[str, Callable[[Array], bool]]  # pattern of names that are not learned -> whether that is right
    ours: str = ""  # pattern of linear weights that are (in_features, out_features) already; others are transposed


class Target(NamedTuple):
    """A parameter of ours, and where it is in the array that holds it."""

    name: str
    parameter: Parameter
    part: int  # of `parts`
    parts: int
    transposed: bool

    def of(self, array: Array) -> Array:
        """The part of `array` that is ours, with a linear layer's weight as (in_features, out_features)."""
        array = array.T if self.transposed else array
        size, rest = divmod(array.shape[-1], self.parts) if array.ndim else (0, 0)
        return array if self.parts == 1 or rest else array[..., self.part * size : (self.part + 1) * size]


class Weights:
    """The arrays of a checkpoint by the names of their family, without the prefix."""

    def __init__(self, checkpoint: Checkpoint, family: Family) -> None:
        self.folder = checkpoint.folder
        self.family = family
        self.found: dict[str, tuple[str, TensorFile]] = {}
        for file in checkpoint.files:
            for name in file:
                source = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name.removeprefix(family.prefix)))
                if source in self.found:
                    raise self._misfit(f"twice: {self.found[source][0]} and {name}")
                self.found[source] = name, file

    def load(self, dtype: DType) -> GPT | BERT:
        """The model with these weights, or FileFormatError. Names and shapes are compared before any array is read."""
        before = re.escape(next(each for each in self.family.modules.values() if "{i}" in each).partition("{i}")[0])
        blocks = {match[1] for source in self.found if (match := re.match(before + r"(\d+)\.", source))}
        if len(blocks) != self.family.config.num_layers:  # else a billion could be made before that is seen
            raise self._misfit(f"{len(blocks)} blocks where it says {self.family.config.num_layers}")
        model = self.family.make(dtype)
        wanted: dict[str, list[Target]] = {}
        for source, target in self._targets(model):
            wanted.setdefault(source, []).append(target)
        copies = {copy: source for copy, source in self.family.copies.items() if source in wanted}
        self._compare(wanted, copies)
        for source in [source for source in self.found if source in wanted]:
            for target in wanted[source]:  # the memory of what it holds is free before the array is read
                target.parameter.data = np.broadcast_to(target.parameter.dtype.type(0), target.parameter.shape)
            array = self._read(source)
            for target in wanted[source]:
                target.parameter.data = np.array(target.of(array), target.parameter.dtype, order="C", copy=None)
            del array
        for source in [source for source in self.found if source not in wanted]:
            if source in copies:
                target = wanted[copies[source]][0]
                copy = target.of(self._read(source)).astype(target.parameter.dtype, copy=False)
                if not np.array_equal(copy, target.parameter.data):
                    raise self._misfit(f"{source} is not a copy of {copies[source]}")
            elif not self._constant(source)(self._read(source, "biuf")):  # type: ignore[misc]
                raise self._misfit(f"{source} is not what the model computes there")
        return model

    def _compare(self, wanted: dict[str, list[Target]], copies: Mapping[str, str]) -> None:
        missing, unexpected, wrong = [source for source in wanted if source not in self.found], [], []
        for source, (name, file) in self.found.items():
            targets = wanted.get(copies.get(source, source), [])
            if not targets and self._constant(source) is None:
                unexpected.append(name)
            for target in targets:
                if target.of(np.broadcast_to(np.int8(0), file.shapes[name])).shape != target.parameter.shape:
                    wrong.append(f"{name} {file.shapes[name]} for {target.name} {target.parameter.shape}")
        problems = {"missing": missing, "unexpected": unexpected, "wrong shape": wrong}
        said = "; ".join(f"{kind}: {_some(found)}" for kind, found in problems.items() if found)
        if said:
            raise self._misfit(said)

    def _constant(self, source: str) -> Callable[[Array], bool] | None:
        return next((test for names, test in self.family.constants.items() if re.fullmatch(names, source)), None)

    def _read(self, source: str, kinds: str = "f") -> Array:
        name, file = self.found[source]
        array = file[name]
        if array.dtype.kind not in kinds:
            raise self._misfit(f"{name} is {array.dtype}; weights are floating point")
        return array

    def _targets(self, model: GPT | BERT) -> Iterator[tuple[str, Target]]:
        """Each parameter, with the name of the array that holds it."""
        linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Linear)}
        modules = self.family.modules
        for name, parameter in model.named_parameters():
            block = re.search(r"\.(\d+)\.", name)
            template = name if block is None else name.replace(block[0], ".{i}.", 1)
            module, _, leaf = template.rpartition(".")
            source = modules[template] if template in modules else f"{modules[module]}.{leaf}"
            part, parts = 0, 1
            if share := re.search(r"@(\d)/(\d)", source):
                source, part, parts = source.replace(share[0], ""), int(share[1]), int(share[2])
            source = source.replace("{i}", block[1] if block else "")
            transposed = name in linear and not re.fullmatch(self.family.ours, source)
            yield source, Target(name, parameter, part, parts, transposed)

    def _misfit(self, what: str) -> FileFormatError:
        return FileFormatError(f"load_pretrained: {self.folder} does not fit its config.json: {what}")


def _some(names: list[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
