"""Putting the arrays of a checkpoint into the parameters of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinytorch.layers import Linear, Module, Parameter, TensorFile
from tinytorch.tensor import Array, FileFormatError

from ..bert import BERT
from ..config import TransformerConfig
from ..gpt import GPT
from .checkpoint import Checkpoint


class Names(NamedTuple):
    """What a family calls its weights."""

    modules: Mapping[str, str]
    """Our module (or parameter without one) -> theirs; `{i}` is the number of a block, `@k/n` the k-th of n parts."""

    prefix: str
    """What may stand before their names."""

    copies: Mapping[str, str]
    """Names of copies -> the names that they must be equal to."""

    constants: Mapping[str, Callable[[Array], bool]]
    """Patterns of names that hold nothing learned -> whether an array there is what it must be."""

    ours: str = ""
    """A pattern of linear weights that are (in_features, out_features) already; PyTorch's are transposed."""


class Family(NamedTuple):
    """What a configuration says: the sizes, how such a model is made with a dtype, and the names of its weights."""

    config: TransformerConfig
    make: Callable[[npt.DTypeLike | None], GPT | BERT]
    names: Names


class Target(NamedTuple):
    """A parameter of ours, and how it is found in the array that holds it."""

    name: str
    parameter: Parameter
    part: int
    parts: int
    transposed: bool

    def of(self, array: Array) -> Array:
        """The part of `array` that is ours, with a linear layer's weight as (in_features, out_features)."""
        array = array.T if self.transposed else array
        size, rest = divmod(array.shape[-1], self.parts) if array.ndim else (0, 0)
        return array if self.parts == 1 or rest else array[..., self.part * size : (self.part + 1) * size]


class Weights:
    """The arrays of a checkpoint under the names of their family, without the prefix."""

    def __init__(self, checkpoint: Checkpoint, names: Names) -> None:
        self.folder = checkpoint.folder
        self.names = names
        self.found: dict[str, tuple[str, TensorFile]] = {}
        for file in checkpoint.files:
            for name in file:
                source = self._source(name)
                if source in self.found:
                    raise self._misfit(f"twice: {self.found[source][0]} and {name}")
                self.found[source] = name, file

    def check_blocks(self, count: int) -> None:
        """Refuse a configuration of another number of blocks before any is built."""
        before = re.escape(next(each for each in self.names.modules.values() if "{i}" in each).partition("{i}")[0])
        blocks = {match[1] for source in self.found if (match := re.match(before + r"(\d+)\.", source))}
        if len(blocks) != count:
            raise self._misfit(f"{len(blocks)} blocks where it says {count}")

    def fill(self, model: Module) -> None:
        """Set every parameter of `model`, after its names and shapes have been compared with those of the files.

        Raises FileFormatError that lists what is missing, what is left over, what has the wrong shape, and what is not
        what it must be a copy of.
        """
        wanted: dict[str, list[Target]] = {}
        for source, target in self._targets(model):
            wanted.setdefault(source, []).append(target)
        copies = {copy: original for copy, original in self.names.copies.items() if original in wanted}
        self._compare(wanted, copies)
        for source, (name, file) in self.found.items():
            if source in wanted:
                for target in wanted[source]:  # what it holds goes before the array comes
                    target.parameter.data = np.broadcast_to(target.parameter.dtype.type(0), target.parameter.shape)
                array = self._read(name, file)
                for target in wanted[source]:
                    target.parameter.data = np.array(target.of(array), target.parameter.dtype, order="C", copy=None)
                del array
        for source, (name, file) in self.found.items():
            if source in copies:
                target = wanted[copies[source]][0]
                copy = target.of(self._read(name, file)).astype(target.parameter.dtype, copy=False)
                if not np.array_equal(copy, target.parameter.data):
                    raise self._misfit(f"{name} differs from {self.found[copies[source]][0]}, and must be a copy of it")
            elif source not in wanted and not self._constant(source)(file[name]):
                raise self._misfit(f"{name} holds other numbers than the model computes there")

    def _compare(self, wanted: dict[str, list[Target]], copies: Mapping[str, str]) -> None:
        wrong = []
        for source, (name, file) in self.found.items():
            for target in wanted.get(copies.get(source, source), ()):
                shape = target.of(np.broadcast_to(np.int8(0), file.shapes[name])).shape
                if shape != target.parameter.shape:
                    wrong.append(f"{name} {file.shapes[name]} for {target.name} {target.parameter.shape}")
        known = wanted.keys() | copies.keys()
        problems = {
            "missing": [source for source in wanted if source not in self.found],
            "unexpected": [n for each, (n, _) in self.found.items() if each not in known and not self._constant(each)],
            "wrong shape": wrong,
        }
        said = "; ".join(f"{kind}: {_some(found)}" for kind, found in problems.items() if found)
        if said:
            raise self._misfit(said)

    def _constant(self, source: str) -> Any:
        return next((test for pattern, test in self.names.constants.items() if re.fullmatch(pattern, source)), None)

    def _read(self, name: str, file: TensorFile) -> Array:
        array = file[name]
        if array.dtype.kind != "f":
            raise self._misfit(f"{name} is {array.dtype}, weights are floating point")
        return array

    def _source(self, name: str) -> str:
        """Their name without the prefix, and with the words of today for a norm's parameters."""
        name = name.removeprefix(self.names.prefix)
        return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))

    def _targets(self, model: Module) -> Iterator[tuple[str, Target]]:
        """Each parameter, with the name of the array that holds it."""
        linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Linear)}
        for name, parameter in model.named_parameters():
            block = re.search(r"\.(\d+)\.", name)
            template = name if block is None else name.replace(block[0], ".{i}.", 1)
            module, _, leaf = template.rpartition(".")
            modules = self.names.modules
            source = modules[template] if template in modules else f"{modules[module]}.{leaf}"
            source, _, share = source.replace("{i}", block[1] if block else "").partition("@")
            part, parts = 0, 1
            if share:
                share, _, leaf = share.partition(".")
                part, parts = map(int, share.split("/"))
                source = f"{source}.{leaf}"
            transposed = name in linear and not re.fullmatch(self.names.ours, source)
            yield source, Target(name, parameter, part, parts, transposed)

    def _misfit(self, what: str) -> FileFormatError:
        return FileFormatError(f"load_pretrained: {self.folder} does not fit its config.json: {what}")


def _some(names: list[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
