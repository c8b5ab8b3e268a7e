"""`summary`: the layers of a model with their shapes, parameters and FLOPs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.layers import Module
from tinytorch.tensor import Tensor

from .grouping import inside
from .measures import DType, example, trial
from .profiler import Profiler
from .shaped import Shaped
from .table import align
from .units import short, size


@dataclass
class Layer:
    """One module of a model."""

    name: str
    kind: str
    parameters: int
    flops: int = 0
    """Of products, in its submodules too, for all its calls."""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    """The shapes of its first call; empty when it was not called."""


@dataclass
class Summary:
    """What `summary` found; `print` shows it as a table."""

    layers: list[Layer]
    parameters: int
    trainable: int
    parameter_bytes: int
    buffer_bytes: int
    flops: int
    not_counted: dict[str, int]

    def __str__(self) -> str:
        cells = [("layer", "input", "output", "parameters", "FLOP")]
        for layer in self.layers:
            depth = layer.name.count(".") + 1 if layer.name else 0
            last = layer.name.rpartition(".")[2]
            cells.append(
                (
                    "  " * depth + (f"{last}: " if last else "") + layer.kind,
                    ", ".join(layer.inputs) or "-",
                    ", ".join(layer.outputs) or "-",
                    f"{layer.parameters:,}" if layer.parameters else "-",
                    short(layer.flops) if layer.flops else "-",
                )
            )
        lines = align(cells, left=3)
        buffers = f"{size(self.buffer_bytes)} of buffers, " if self.buffer_bytes else ""
        lines.append(
            f"{self.parameters:,} parameters ({self.trainable:,} trainable, {size(self.parameter_bytes)}), "
            f"{buffers}{short(self.flops, 'FLOP')} in products"
        )
        if self.not_counted:
            lines.append(f"not counted: {', '.join(sorted(self.not_counted))}")
        return "\n".join(lines)

    __repr__ = __str__


def summary(model: Module, input_size: Sequence[int], dtype: DType = None) -> Summary:
    """Run `model` once on zeros of `input_size`, without recording gradients, and say what each layer is and does.

    `dtype` is the default float, or int64 for a model whose first parameters are those of an Embedding.

    >>> from tinytorch.layers import Linear, ReLU, Sequential
    >>> summary(Sequential(Linear(4, 8), ReLU()), (2, 4))
    layer        input  output  parameters  FLOP
    -----------  -----  ------  ----------  ----
    Sequential   2x4    2x8             40   128
      0: Linear  2x4    2x8             40   128
      1: ReLU    2x8    2x8              -     -
    40 parameters (40 trainable, 160 B), 128 FLOP in products
    """
    layers = {name: Layer(name, type(part).__name__, part.num_parameters()) for name, part in model.named_modules()}
    x = example(model, input_size, dtype)
    with trial(model) as tried, no_grad():
        for name, module in tried.named_modules():
            module.register_forward_hook(_Shapes(layers[name]))
        with Profiler(tried) as prof:
            tried(x)
    rows = prof.rows("module")
    for layer in layers.values():
        layer.flops = sum(row.flops for row in rows if inside(row.name, layer.name))
    parameter_bytes = sum(parameter.nbytes for parameter in model.parameters())
    return Summary(
        list(layers.values()),
        model.num_parameters(),
        model.num_parameters(trainable=True),
        parameter_bytes,
        model.nbytes - parameter_bytes,
        prof.flops,
        prof.not_counted,
    )


class _Shapes:
    """A forward hook that notes the shapes of the first call."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __call__(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not self._layer.outputs:
            self._layer.inputs = _shapes((*args, *kwargs.values()))
            self._layer.outputs = _shapes(output)


def _shapes(value: Any) -> list[str]:
    if isinstance(value, Tensor | np.ndarray):
        return [str(Shaped(value.shape, value.dtype))]
    if isinstance(value, tuple | list):
        return [shape for each in value for shape in _shapes(each)]
    return []
