"""Which layers of a model are meant: all that hold a matrix of weights, or those that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from tinytorch.layers import Module, Parameter
from tinytorch.layers.checks import real

Targets: TypeAlias = str | Iterable[str] | None
"""Dotted names of layers, or their endings (`"q_proj"` is that of every block); None for all that can be meant."""


def check_amount(owner: str, amount: float) -> float:
    """`amount`, unless it is not a number (TypeError) or not from 0 to below 1 (ValueError)."""
    if not 0 <= real(owner, "amount", amount) < 1:
        raise ValueError(
            f"{owner}: amount is {amount}; it is the share that is removed, from 0 to below 1, because something stays"
        )
    return float(amount)


def share_of(amount: float, size: int) -> int:
    """How many of `size` an amount below 1 is, rounded down: never all. 0.29 of 100 are 29, which floats miss."""
    return min(int(amount * size + 1e-6), size - 1) if size else 0


def is_linear(module: Module) -> bool:
    """Whether a module takes (..., in_features) to (..., out_features), as far as it says so itself."""
    return all(isinstance(getattr(module, name, None), int) for name in ("in_features", "out_features"))


def has_matrix(module: Module) -> bool:
    """Whether the numbers of `module.weight` have rows and columns that a product sums over."""
    return has_table(module) and (is_linear(module) or isinstance(getattr(module, "in_channels", None), int))


def has_table(module: Module) -> bool:
    """Whether `module.weight` is a floating-point parameter with two axes or more."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Parameter) and weight.ndim >= 2 and weight.dtype.kind == "f"


def find(
    owner: str, model: Module, targets: Targets, usual: Callable[[Module], bool],
    possible: Callable[[Module], bool] | None = None,
) -> dict[str, Module]:  # fmt: skip
    """The layers by name: every `usual` one, or those `targets` name, each of which must be `possible`.

    Raises TypeError for what is not a module, and ValueError for a target that names nothing, or nothing possible.
    """
    if not isinstance(model, Module):
        raise TypeError(f"{owner}: got a {type(model).__name__}; it must be a Module")
    modules = dict(model.named_modules())
    if targets is None:
        found = {name: module for name, module in modules.items() if usual(module)}
        if not found:
            raise ValueError(f"{owner}: {type(model).__name__} has no layer that this serves; name some in targets")
        return found
    wanted = [targets] if isinstance(targets, str) else list(targets)
    named = {target: _named(modules, target) for target in wanted}
    for target, layers in named.items():
        if not layers:
            raise ValueError(f"{owner}: no layer is called {target!r}; model.named_modules() lists the names")
        for name, module in layers.items():
            if not (possible or usual)(module):
                raise ValueError(
                    f"{owner}: {name or 'the model'} is a {type(module).__name__}, which this cannot serve"
                )
    chosen = {name for layers in named.values() for name in layers}
    if not chosen:
        raise ValueError(f"{owner}: targets is empty; name layers, or leave it out for all")
    return {name: module for name, module in modules.items() if name in chosen}


def _named(modules: Mapping[str, Module], target: Any) -> dict[str, Module]:
    return {name: module for name, module in modules.items() if name == target or name.endswith(f".{target}")}


def once(layers: Mapping[str, Module]) -> dict[str, Module]:
    """Without the layers whose weight belongs to an earlier one too."""
    first: dict[int, str] = {}
    for name, module in layers.items():
        first.setdefault(id(module.weight), name)  # type: ignore[attr-defined]  # `has_table` has looked
    return {name: layers[name] for name in first.values()}
