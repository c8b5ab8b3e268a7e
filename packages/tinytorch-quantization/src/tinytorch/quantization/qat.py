"""Quantization-aware training: the model learns with weights, and inputs, that are rounded as they will be."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from tinytorch.layers import Embedding, Linear, Module
from tinytorch.layers import functional as F
from tinytorch.spatial import Conv2d, conv2d
from tinytorch.tensor import Tensor, note_write

from .errors import QuantizationError
from .fake import fake_quantize, fake_rows
from .integers import LARGEST
from .module import IntegerModule, QuantizedModule
from .observers import scale_of
from .quantize import KINDS
from .scheme import Scheme, scheme_of
from .selecting import Choice, replace, select

M = TypeVar("M", bound=Module)

MOMENTUM = 0.1
"""The share of a batch in the running range of static inputs."""


class QATModule(Module):
    """A layer that computes with rounded weights, and rounded inputs where there are `activations`.

    Its parameters are those of the layer that it was made of, so that optimizers go on. Static inputs have a running
    range, `input_low` and `input_high`: buffers that move while the layer trains.
    """

    scheme: Scheme
    activations: str | None
    input_low: Tensor | None
    input_high: Tensor | None

    @classmethod
    def of(cls, layer: Any, scheme: Scheme, activations: str | None) -> Any:
        """What takes the place of a layer, with the same parameters."""
        made = cls.__new__(cls)
        for name, value in vars(layer).items():
            setattr(made, name, value)
        made.scheme, made.activations = scheme, activations
        for name in ("input_low", "input_high"):
            made.register_buffer(name, Tensor(np.array(np.nan)) if activations == "static" else None)
        return made

    def rounded(self, x: Any) -> Any:
        """The inputs as integers of 8 bits would stand for them."""
        if self.activations is None:
            return x
        x = x if isinstance(x, Tensor) else Tensor(x)
        if self.activations == "dynamic":
            axes = -1 if isinstance(self, Linear) else tuple(range(1, x.ndim))
            largest = np.abs(x.data).max(axis=axes, keepdims=True, initial=0.0)
            scale = largest / LARGEST
            scale[scale == 0] = 1  # numbers below the least of the dtype count as 0
            return fake_quantize(x, scale, low=-LARGEST, high=LARGEST)
        low, high = self._observe(x)
        return fake_quantize(x, *map(np.array, scale_of(low, high)))

    def _observe(self, x: Tensor) -> tuple[float, float]:
        """The running range, moved by x while the layer trains."""
        ends = []
        for end, seen in ((self.input_low, x.data.min(initial=0.0)), (self.input_high, x.data.max(initial=0.0))):
            if end is None:
                raise QuantizationError("QATModule: it has no range of inputs; prepare the model again")
            if self.training:
                end.data[...] = seen if np.isnan(end.data) else (1 - MOMENTUM) * end.data + MOMENTUM * seen
                note_write(end.data)
            if np.isnan(end.data):
                raise QuantizationError("QATModule: no inputs were seen in training; train the model before it is used")
            ends.append(float(end.data))
        return ends[0], ends[1]


class QATLinear(QATModule, Linear):
    """`Linear` with rounded weights."""

    def forward(self, x: Any) -> Tensor:
        return F.linear(self.rounded(x), fake_rows(self.weight.T, self.scheme).T, self.bias)


class QATEmbedding(QATModule, Embedding):
    """`Embedding` with rounded rows, for a tied head too."""

    def forward(self, indices: Any) -> Tensor:
        return F.embedding(fake_rows(self.weight, self.scheme), indices, padding_idx=self.padding_idx)

    def unembed(self, x: Any, bias: Any = None) -> Tensor:
        return F.linear(x, fake_rows(self.weight, self.scheme).T, bias)


class QATConv2d(QATModule, Conv2d):
    """`Conv2d` with rounded kernels."""

    def forward(self, x: Any) -> Tensor:
        kernels = fake_rows(self.weight.reshape(self.out_channels, -1), self.scheme).reshape(self.weight.shape)
        return conv2d(
            self.rounded(x), kernels, self.bias, stride=self.stride, padding=self.padding, dilation=self.dilation,
            groups=self.groups,
        )  # fmt: skip


QAT_KINDS: dict[type[Module], type[QATModule]] = {Linear: QATLinear, Embedding: QATEmbedding, Conv2d: QATConv2d}


def prepare_qat(
    model: M, bits: int = 8, group_size: int | None = None, *, symmetric: bool = True, activations: str | None = None,
    include: Choice = None, exclude: Choice = None,
) -> M | Module:  # fmt: skip
    """Let a model train with what `quantize` would make of it, in place; return the model. Then train, and `convert`.

    Arguments and errors are those of `quantize`. Parameters are the same objects, so that optimizers go on; gradients
    pass straight through the rounding. Static activations get their ranges from the batches of the training.

    >>> from tinytorch.layers import Sequential
    >>> model = prepare_qat(Sequential(Linear(4, 2)), bits=4)
    >>> type(model[0]).__name__, type(convert(model)[0]).__name__
    ('QATLinear', 'QuantizedLinear')
    """
    scheme = scheme_of(bits, group_size, symmetric, activations)
    if not isinstance(scheme, Scheme):
        raise QuantizationError(f"prepare_qat: bits is {bits!r}; it must be an integer, 2 to 8")
    layers = select("prepare_qat", model, QAT_KINDS, include, exclude)
    made: dict[int, Module] = {}
    for name, layer in layers.items():
        kind = QAT_KINDS[type(layer)]
        owner, becomes = f"prepare_qat: {name or type(layer).__name__}", KINDS[type(layer)]
        scheme.groups(becomes.rows_of(layer).shape[1], owner)
        becomes.check(scheme, activations, owner)
        made.setdefault(id(layer), kind.of(layer, scheme, None if kind is QATEmbedding else activations))
    return replace(model, {name: made[id(layer)] for name, layer in layers.items()})


def convert(model: M) -> M | Module:
    """Put quantized layers in the places of those that `prepare_qat` made, in place; return the model.

    They compute what those computed, up to the order of sums. Raises QuantizationError where there are none, and for
    static activations whose range was never seen.
    """
    layers = select("convert", model, QAT_KINDS.values())
    made: dict[int, QuantizedModule] = {}
    first: dict[Any, QuantizedModule] = {}  # layers of one kind and scheme that share a weight share its codes
    for name, layer in layers.items():
        if isinstance(layer, QATModule) and id(layer) not in made:
            made[id(layer)] = _converted(layer, f"convert: {name or 'the model'}")
            shared = type(layer), layer.scheme, id(vars(layer)["weight"])
            made[id(layer)].share(first.setdefault(shared, made[id(layer)]))
    return replace(model, {name: made[id(layer)] for name, layer in layers.items()})


def _converted(layer: Any, owner: str) -> QuantizedModule:
    kind = next(KINDS[base] for base in type(layer).__mro__ if base in KINDS)
    codes = layer.scheme.quantize(kind.rows_of(layer), owner)
    if not issubclass(kind, IntegerModule):
        return kind.from_float(layer, layer.scheme, codes)
    made = kind.from_float(layer, layer.scheme, codes, layer.activations)
    if made.input_scale is not None and made.input_zero_point is not None:
        low, high = float(layer.input_low.data), float(layer.input_high.data)
        if np.isnan(low):
            raise QuantizationError(f"{owner} saw no inputs in training; train the model before it is converted")
        made.input_scale.data[...], made.input_zero_point.data[...] = scale_of(low, high)
    return made
