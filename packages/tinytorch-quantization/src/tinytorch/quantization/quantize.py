"""`quantize` and `dequantize`: layers of integers in the places of layers of floating-point numbers, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

from tinytorch.layers import Module
from tinytorch.layers.checks import real

from .codes import Codes
from .convolution import QuantizedConv2d
from .embedding import QuantizedEmbedding
from .errors import QuantizationError
from .gptq import Hessian
from .half import Half
from .linear import QuantizedLinear
from .module import IntegerModule, QuantizedModule
from .scheme import Scheme, scheme_of
from .selecting import Choice, replace, select
from .sequential import replace_in_order

KINDS: dict[type[Module], type[QuantizedModule]] = {
    kind.replaces: kind for kind in (QuantizedLinear, QuantizedEmbedding, QuantizedConv2d)
}
"""What takes the place of each kind of layer."""


def quantize(
    model: Module, bits: int | str = 8, group_size: int | None = None, *, symmetric: bool = True,
    activations: str | None = None, include: Choice = None, exclude: Choice = None, method: str = "nearest",
    batches: Iterable[Any] | None = None, act_order: bool = False, damping: float = 0.01,
) -> Module:  # fmt: skip
    """Replace the layers of `model`, in place, by such that hold their weights in few bits; return the model.

    Every `Linear`, `Embedding` and `Conv2d` gets `bits` from 2 to 8 per weight (those of up to 4 bits take half a
    byte), with one scale for each `group_size` weights of an output, or for all of them; `symmetric` or not as `Scheme`
    says. `bits` may also be "float16" or "bfloat16": weights are stored so, and computed with in float32.
    With `activations` the inputs of linear layers and convolutions become integers of 8 bits too, and products are
    computed exactly in integers: "dynamic" takes a scale for each row of inputs as it comes, "static" one for all,
    found by `calibrate`. Tables and heads tied to them keep float arithmetic.
    `include` and `exclude` are names, in which * stands for any text, or classes of layers. Biases, norms and positions
    stay as they are. A model that is itself such a layer is not changed: what is returned takes its place.

    Weights are rounded to the nearest code, or with `method="gptq"` such that the outputs on examples change least (see
    `gptq`, whose options `act_order` and `damping` are): `batches` are what the model is called with, a tuple several
    arguments. Layers are then quantized in the order in which they are called; tables are rounded to the nearest codes.

    Raises QuantizationError, with the model as it was, where there is nothing to quantize, where layers are quantized
    already, where groups do not divide the weights, for infinite weights and NaN, for layers with hooks, and where
    there are no batches or one layer is not reached by them.

    >>> from tinytorch.layers import Linear, ReLU, Sequential
    >>> model = Sequential(Linear(8, 16), ReLU(), Linear(16, 4))
    >>> before = model.nbytes
    >>> quantize(model, bits=4, group_size=8)
    Sequential                                        20 parameters
    ├─ 0: QuantizedLinear(8, 16, int4, group_size=8)  16
    ├─ 1: ReLU()
    └─ 2: QuantizedLinear(16, 4, int4, group_size=8)  4
    >>> before, model.nbytes
    (848, 272)
    """
    scheme = scheme_of(bits, group_size, symmetric, activations)
    _refuse_quantized(model, include)
    layers = select("quantize", model, KINDS, include, exclude)
    for name, layer in layers.items():
        KINDS[type(layer)].check(scheme, activations, f"quantize: {name or type(layer).__name__}")
    if method != "gptq":
        if method != "nearest" or batches is not None:
            raise QuantizationError(
                f"quantize: method is {method!r} {'without' if batches is None else 'with'} batches; "
                "it must be 'nearest' without, or 'gptq' with batches"
            )
        made = _nearest(layers, scheme, activations)
        return replace(model, {name: made[id(layer)] for name, layer in layers.items()})
    if not isinstance(scheme, Scheme):
        raise QuantizationError(f"quantize: GPTQ of {bits!r}; it is for integers, use method='nearest'")
    if real("quantize", "damping", damping) < 0:
        raise QuantizationError(f"quantize: damping is {damping}; it must be 0 or positive")
    options = {"act_order": act_order, "damping": damping}

    def make(name: str, layer: Module, hessian: Hessian | None) -> Module:
        rows, owner = KINDS[type(layer)].rows_of(layer), f"quantize: {name or type(layer).__name__}"
        codes = hessian.quantize(rows, scheme, owner, **options) if hessian else scheme.quantize(rows, owner)
        return _made(layer, scheme, codes, None)

    model = replace_in_order(model, layers, () if batches is None else batches, make)
    for name in layers:
        layer = model.get_submodule(name)
        if isinstance(layer, IntegerModule):
            layer.expect(activations)
    return model


def _nearest(layers: dict[str, Module], scheme: Scheme | Half, activations: str | None) -> dict[int, QuantizedModule]:
    """What takes the place of each layer, with each weight rounded to the nearest code."""
    made: dict[int, QuantizedModule] = {}  # a layer that has several names keeps them
    first: dict[Any, QuantizedModule] = {}  # and layers of one kind that share a weight share its codes
    for name, layer in layers.items():
        kind = KINDS[type(layer)]
        weight = kind, id(vars(layer)["weight"])
        if id(layer) in made:
            continue
        if weight in first:
            made[id(layer)] = _made(layer, scheme, first[weight].codes, activations).share(first[weight])
        else:
            codes = scheme.quantize(kind.rows_of(layer), f"quantize: {name or type(layer).__name__}")
            made[id(layer)] = first[weight] = _made(layer, scheme, codes, activations)
    return made


def dequantize(model: Module, *, include: Choice = None, exclude: Choice = None) -> Module:
    """Put layers of floating-point weights in the places of the quantized ones, in place; return the model.

    The weights are the numbers that the codes stood for, in the dtype of their scales: what was lost by rounding stays
    lost. Arguments and errors are those of `quantize`.

    >>> from tinytorch.layers import Linear
    >>> model = Linear(4, 2)
    >>> layer = dequantize(quantize(model))
    >>> bool(abs(layer.weight.data - model.weight.data).max() < 0.003)
    True
    """
    layers = select("dequantize", model, KINDS.values(), include, exclude)
    made: dict[int, Any] = {}
    first: dict[int, Any] = {}
    for layer in filter(_is_quantized, layers.values()):
        if id(layer) not in made:
            made[id(layer)] = layer.to_float()
            made[id(layer)].weight = first.setdefault(id(layer.weight), made[id(layer)]).weight
    return replace(model, {name: made[id(layer)] for name, layer in layers.items()})


def _made(layer: Module, scheme: Scheme | Half, codes: Codes, activations: str | None) -> QuantizedModule:
    kind = KINDS[type(layer)]
    if issubclass(kind, IntegerModule):
        return kind.from_float(layer, scheme, codes, activations)
    return kind.from_float(layer, scheme, codes)


def _refuse_quantized(model: Any, include: Choice) -> None:
    """Raise QuantizationError for a model of which parts are quantized, unless others were asked for by name."""
    if include is None and isinstance(model, Module):
        for name, layer in model.named_modules():
            if isinstance(layer, QuantizedModule):
                raise QuantizationError(
                    f"quantize: {name or 'the model'} is quantized already; dequantize(model) first, or include= others"
                )


def _is_quantized(layer: Module) -> TypeGuard[QuantizedModule]:
    return isinstance(layer, QuantizedModule)
