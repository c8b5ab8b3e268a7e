"""Adapters: putting small trainable matrices beside the linear layers of a frozen model, and taking them away again.

A layer is replaced by a `LoRALinear` that holds it, under the same name. Nothing else of the model is touched, so it
does not matter what kind of layer it is, as long as it takes (..., in_features) to (..., out_features): a quantized
one serves too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytorch.layers import Module, Parameter
from tinytorch.layers.checks import probability, real
from tinytorch.layers.state import write
from tinytorch.tensor import check_int

from .errors import AdapterError
from .layers import Targets, find, has_table, is_linear
from .lora import LoRALinear, sizes_of
from .masks import mask_of

Named = list[tuple[str, Parameter]]


def add_lora(
    model: Module, rank: int = 8, targets: Targets = None, alpha: float | None = None, dropout: float = 0.0, *,
    generator: np.random.Generator | None = None,
) -> Named:  # fmt: skip
    """Freeze a model and give linear layers adapters, which alone are learned; returns their parameters by name.

    The layer y = f(x) becomes f(x) + alpha / rank · x A B with A (in, rank) and B (rank, out), which starts as zeros:
    the model computes what it did. `targets` names layers (`["q_proj", "v_proj"]`: those of every block); unless given,
    all linear layers are meant. `alpha` is `rank` unless given. `dropout` drops inputs of the adapters while training.

    `merge_lora` makes the adapters part of the weights, `remove_lora` leaves the model as it was before, `save_lora`
    saves them alone. Raises AdapterError for a model that has adapters, and where `rank` is larger than a layer;
    ValueError and TypeError for arguments that mean nothing.

    Source: Hu et al. 2021, LoRA: low-rank adaptation of large language models.

    >>> from tinytorch.layers import Linear, Sequential
    >>> model = Sequential(Linear(64, 64), Linear(64, 8))
    >>> parameters = add_lora(model, rank=4, targets="0")
    >>> [(name, parameter.shape) for name, parameter in parameters]
    [('0.lora_A', (64, 4)), ('0.lora_B', (4, 64))]
    >>> model.num_parameters(trainable=True)
    512
    """
    check_int("add_lora", "rank", rank, minimum=1)
    probability("add_lora", dropout)
    alpha = float(rank) if alpha is None else real("add_lora", "alpha", alpha)
    if not np.isfinite(alpha) or alpha <= 0:
        raise ValueError(f"add_lora: alpha is {alpha}; it must be a positive number, the strength of the adapters")
    refuse_adapted("add_lora", model)
    layers = outermost(find("add_lora", model, targets, is_linear))
    for name, layer in layers.items():
        if rank > min(sizes_of(layer)):
            raise AdapterError(
                f"add_lora: rank {rank} and {name or 'the model'} is {sizes_of(layer)}; "
                "an adapter has at most the rank of its layer: choose a smaller one, or other targets"
            )
    return attach(
        "add_lora",
        model,
        {name: LoRALinear(layer, rank, alpha / rank, dropout, generator=generator) for name, layer in layers.items()},
    )


def attach(owner: str, model: Module, adapted: Mapping[str, LoRALinear]) -> Named:
    """Freeze the model and put these in the places of their bases, at every name that a base has."""
    if "" in adapted:
        raise AdapterError(
            f"{owner}: the model is itself the layer; put it into a Sequential, which can be given another"
        )
    learned = tuple(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    model.requires_grad_(False)
    model._lora_froze = learned
    instead = {id(layer.base): layer for layer in adapted.values()}
    for name, module in model.named_modules(remove_duplicate=False):
        if id(module) in instead:
            layer = instead[id(module)]
            layer.training = layer.dropout.training = module.training
            model.set_submodule(name, layer)
    return lora_parameters(model)


def lora_parameters(model: Module) -> Named:
    """The parameters of the adapters by dotted name, for an optimizer; empty without adapters."""
    return [
        (f"{name}.{kind}", getattr(layer, kind)) for name, layer in adapters(model).items()
        for kind in ("lora_A", "lora_B")
    ]  # fmt: skip


def adapters(model: Module) -> dict[str, LoRALinear]:
    """The layers with adapters by dotted name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}


def merge_lora(model: Module) -> None:
    """Add what the adapters compute to the weights of their layers, which then stand alone again.

    The model computes the same, up to rounding, as fast as before it had adapters, and what was learned before they
    came is learned again. Raises AdapterError, and changes nothing, for a model without adapters, a layer whose
    weights are not floating point (dequantize it first), that shares them with another or has a mask, and for a sum
    that is not finite.

    >>> from tinytorch.layers import Linear, Sequential
    >>> model = Sequential(Linear(4, 4))
    >>> _ = add_lora(model, rank=1)
    >>> merge_lora(model)
    >>> list(model.state_dict())
    ['0.weight', '0.bias']
    """
    layers = _adapted("merge_lora", model)
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    merged = {}
    for name, layer in layers.items():
        base: Any = layer.base
        if not has_table(base) or base.weight.shape != sizes_of(base):
            raise AdapterError(
                f"merge_lora: {name} is a {type(base).__name__}, which has no weight (in, out) of floats; "
                "dequantize it first, or keep the adapter"
            )
        places = {each.rpartition(".")[0] for each in names[id(base.weight)]}
        if len({id(model.get_submodule(place)) for place in places}) > 1:
            raise AdapterError(
                f"merge_lora: {name} shares its weight with others ({', '.join(sorted(places))}), which would change; "
                "keep the adapter, or give the layer a weight of its own"
            )
        if mask_of(base) is not None:
            raise AdapterError(f"merge_lora: {name} is pruned, and a sum fills its zeros; make_permanent(model) first")
        merged[name] = base.weight.data + layer.delta().astype(base.weight.dtype)
        if not np.isfinite(merged[name]).all():
            raise AdapterError(f"merge_lora: the weight of {name} would not be finite; look at the adapter")
    for name, layer in layers.items():
        write(layer.base.weight, merged[name])  # type: ignore[attr-defined]
    _detach(model)


def remove_lora(model: Module) -> None:
    """Take the adapters away: the model is bit for bit what it was before them, and learns what it learned before.

    Raises AdapterError for a model without adapters.

    >>> from tinytorch.layers import Linear, Sequential
    >>> model = Sequential(Linear(4, 4))
    >>> _ = add_lora(model, rank=1)
    >>> remove_lora(model)
    >>> model.num_parameters(trainable=True)
    20
    """
    _adapted("remove_lora", model)
    _detach(model)


def _detach(model: Module) -> None:
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, LoRALinear):
            model.set_submodule(name, module.base)
    froze = set(model.__dict__.pop("_lora_froze"))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in froze


def _adapted(owner: str, model: Module) -> dict[str, LoRALinear]:
    layers = adapters(model) if isinstance(model, Module) else {}
    if not layers or "_lora_froze" not in vars(model):
        raise AdapterError(f"{owner}: this model has no adapters; add_lora(model, rank) gives it some")
    return layers


def refuse_adapted(owner: str, model: Module) -> None:
    """Raise AdapterError for a model that has adapters, TypeError for what is not a module."""
    if not isinstance(model, Module):
        raise TypeError(f"{owner}: got a {type(model).__name__}; it must be a Module")
    if (has := next(iter(adapters(model)), None)) is not None:
        raise AdapterError(f"{owner}: {has} has an adapter already; merge_lora(model) or remove_lora(model) first")


def outermost(layers: Mapping[str, Module]) -> dict[str, Module]:
    """Without the layers that are parts of others."""
    return {
        name: layer for name, layer in layers.items()
        if not any(name.startswith(f"{other}.") for other in layers)
    }  # fmt: skip
