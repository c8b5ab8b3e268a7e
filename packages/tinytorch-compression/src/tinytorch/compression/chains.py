"""Chains: layers whose outputs only the next layer reads, so that an output can be taken out of both.

What stands between the two treats every output for itself: activations, dropout, pooling, batch norm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tinytorch.layers import (
    GELU,
    Dropout,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Tanh,
)
from tinytorch.spatial import AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d
from tinytorch.tensor import Array
from tinytorch.transformer import FeedForward

from .errors import CompressionError
from .narrowing import keep_inputs, keep_outputs, spread

PASSING = (
    GELU, LeakyReLU, ReLU, SiLU, Sigmoid, Tanh, Dropout, Identity, Flatten, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d,
)  # fmt: skip


@dataclass
class Chain:
    """`producers` make the outputs, each of which is `width` inputs of the `consumer`."""

    name: str
    producers: list[Module]
    consumer: Module
    width: int = 1

    @property
    def size(self) -> int:
        """How many outputs there are."""
        return outputs_of(self.producers[0])

    def importance(self) -> Array:
        """For each output the norm of the weights that make it times that of the weights that read it.

        Where a batch norm scales the outputs, its |weight| is what makes them: Liu et al. 2017, Network slimming.
        """
        norms = [each for each in self.producers if isinstance(each, BatchNorm2d) and each.weight is not None]
        if norms:
            made = np.abs(norms[-1].weight.data)  # type: ignore[union-attr]
        else:
            matrices = [matrix_of(layer) for layer in self.producers if not isinstance(layer, BatchNorm2d)]
            made = np.sqrt(sum(np.sum(matrix * matrix, axis=1) for matrix in matrices))
        read = inputs_first(self.consumer).reshape(self.size, -1)  # (outputs, width * consumer's outputs)
        product: Array = made * np.sqrt(np.sum(read * read, axis=1))
        return product

    def keep(self, kept: Array) -> None:
        """Take all other outputs out of the layers."""
        for layer in self.producers:
            keep_outputs(layer, kept)
        keep_inputs(self.consumer, spread(kept, self.width))


def outputs_of(layer: Module) -> int:
    return layer.out_features if isinstance(layer, Linear) else layer.out_channels  # type: ignore[attr-defined]


def matrix_of(layer: Module) -> Array:
    """The weights that make each output, in a row: (outputs, ...)."""
    weight = wide(layer)
    return weight.T if isinstance(layer, Linear) else weight.reshape(len(weight), -1)


def inputs_first(layer: Module) -> Array:
    """The weights that read each input: (inputs, ...)."""
    weight = wide(layer)
    return weight if isinstance(layer, Linear) else np.moveaxis(weight, 1, 0)


def wide(layer: Module) -> Array:
    """The weights in float32 at least: sums of squares leave the range of float16."""
    weight: Array = layer.weight.data  # type: ignore[attr-defined]
    return weight.astype(np.result_type(weight, np.float32), copy=False)


def is_plain(layer: Module) -> bool:
    """Whether a layer is a linear layer or convolution as it is defined, in one group, and not one made of it."""
    if isinstance(layer, Linear):
        return type(layer).forward is Linear.forward
    return isinstance(layer, Conv2d) and type(layer).forward is Conv2d.forward and layer.groups == 1


def find_chains(model: Module) -> Iterator[Chain]:
    """The chains in feed-forward parts and sequences of a model."""
    inside: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, FeedForward) and type(module).forward is FeedForward.forward:
            producers = [layer for layer in (module.up, module.gate) if layer is not None]
            if all(is_plain(layer) for layer in (*producers, module.down)):
                yield Chain(name, list(producers), module.down)
        elif is_sequence(module) and id(module) not in inside:
            inside.update(id(part) for part in module.modules() if is_sequence(part))
            yield from in_sequence(list(leaves(module, name)))


def is_sequence(module: Module) -> bool:
    return isinstance(module, Sequential) and type(module).forward is Sequential.forward


def leaves(sequence: Module, prefix: str) -> Iterator[tuple[str, Module]]:
    for name, part in sequence.named_children():
        full = f"{prefix}.{name}" if prefix else name
        if is_sequence(part):
            yield from leaves(part, full)
        else:
            yield full, part


def in_sequence(layers: list[tuple[str, Module]]) -> Iterator[Chain]:
    """The chains of layers that are called one after another."""
    name, producers, flat = "", list[Module](), False
    for next_name, layer in layers:
        if is_plain(layer):
            crosses = bool(producers) and isinstance(producers[0], Conv2d) and isinstance(layer, Linear)
            if producers and crosses == flat and (width := width_between(producers[0], layer)):
                yield Chain(name, producers, layer, width)
            name, producers, flat = next_name, [layer], False
        elif isinstance(layer, BatchNorm2d) and producers and isinstance(producers[0], Conv2d):
            producers.append(layer)
        elif isinstance(layer, Flatten) and producers and isinstance(producers[0], Conv2d):
            flat = (layer.start, layer.end) == (1, -1)
            producers = producers if flat else []
        elif not isinstance(layer, PASSING):
            producers = []


def width_between(producer: Module, consumer: Module) -> int:
    """How many inputs of the consumer each output of the producer is, 0 where the two do not fit."""
    count, inputs = outputs_of(producer), len(inputs_first(consumer))
    if isinstance(consumer, Conv2d) or isinstance(producer, Linear):
        return int(inputs == count and isinstance(producer, Conv2d) == isinstance(consumer, Conv2d))
    return inputs // count if inputs % count == 0 else 0  # flattened: the places of a channel lie side by side


def named_chain(model: Module, names: Iterable[str]) -> Chain:
    """The chain that a user names: its producer, batch norms, and its consumer last.

    Raises CompressionError for layers that make no chain.
    """
    listed = list(names)
    modules = [model.get_submodule(name) for name in listed]
    ends = len(modules) >= 2 and modules[0] is not modules[-1] and all(map(is_plain, (modules[0], modules[-1])))
    width = width_between(modules[0], modules[-1]) if ends else 0
    norms = [each for each in modules[1:-1] if isinstance(each, BatchNorm2d)]
    fit = width and all(norm.num_features == outputs_of(modules[0]) for norm in norms)
    if not fit or not all(isinstance(each, (BatchNorm2d, *PASSING)) for each in modules[1:-1]):
        kinds = ", ".join(f"{name} ({type(each).__name__})" for name, each in zip(listed, modules, strict=True))
        raise CompressionError(
            f"structured_prune: {kinds} make no chain; name a linear layer or convolution, the batch norms behind it, "
            "and the layer that reads its outputs"
        )
    return Chain(listed[0], [modules[0], *norms], modules[-1], width)
