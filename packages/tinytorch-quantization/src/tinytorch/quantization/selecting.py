"""Which layers of a model are meant, and putting others in their places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeAlias, TypeVar

from tinytorch.layers import Module

from .errors import QuantizationError
from .module import QuantizedModule

Choice: TypeAlias = str | type[Module] | Iterable[str | type[Module]] | None
"""A dotted name, in which * stands for any text, a class of layers, or several of these; None for no choice."""

M = TypeVar("M", bound=Module)


def select(
    owner: str, model: Module, kinds: Iterable[type[Module]], include: Choice = None, exclude: Choice = None
) -> dict[str, Module]:
    """The layers of exactly these kinds by name, of those that are included the ones that are not excluded.

    A layer that has several names is there under each. Raises QuantizationError where there is none, where a name or
    class of `include` or `exclude` is that of no such layer, and for layers that have hooks or a forward of their own,
    which what replaces them would not run.
    """
    if not isinstance(model, Module):
        raise TypeError(f"{owner}: got a {type(model).__name__}; it must be a Module")
    kinds = tuple(kinds)
    found = {name: each for name, each in model.named_modules(remove_duplicate=False) if type(each) in kinds}
    included = found if include is None else _matching(owner, "include", include, found, model)
    excluded = {} if exclude is None else _matching(owner, "exclude", exclude, found, model)
    chosen = {name: each for name, each in included.items() if name not in excluded}
    if not chosen:
        known = ", ".join(kind.__name__ for kind in kinds)
        raise QuantizationError(f"{owner}: nothing to do; {type(model).__name__} has no {known} that is meant")
    for name, each in chosen.items():
        if each._hooks is not None or "forward" in each.__dict__:
            raise QuantizationError(
                f"{owner}: {name} has hooks or a forward of its own, which its replacement would not run; "
                "remove them first, or leave the layer out with exclude="
            )
    return chosen


def _matching(owner: str, what: str, choice: Choice, layers: Mapping[str, Module], model: Module) -> dict[str, Module]:
    matching: dict[str, Module] = {}
    for each in [choice] if isinstance(choice, str | type) else choice or ():
        if not isinstance(each, str | type):
            raise TypeError(f"{owner}: {what} holds {each!r}; it must hold names or classes of layers")
        some = {name: layer for name, layer in layers.items() if _matches(name, layer, each)}
        if not some:
            there = [name for name, layer in model.named_modules(remove_duplicate=False) if _matches(name, layer, each)]
            raise QuantizationError(f"{owner}: {what} {_shown(each)}: {_why_none(owner, there, model)}")
        matching.update(some)
    return matching


def _matches(name: str, layer: Module, choice: str | type) -> bool:
    return fnmatchcase(name, choice) if isinstance(choice, str) else isinstance(layer, choice)


def _shown(choice: str | type) -> str:
    return repr(choice) if isinstance(choice, str) else choice.__name__


def _why_none(owner: str, there: list[str], model: Module) -> str:
    if not there:
        return f"{type(model).__name__} has no such layer; look at its repr, * stands for any text"
    layer = model.get_submodule(there[0])
    if isinstance(layer, QuantizedModule):
        return f"{there[0]} is quantized already; dequantize(model) first, or choose others"
    return f"{there[0] or 'the model'} is a {type(layer).__name__}, which {owner} does not know"


def replace(model: M, layers: Mapping[str, Module]) -> M | Module:
    """`model` with other layers in the places of these names, or what takes the place of the model itself."""
    if "" in layers:
        return layers[""]
    for name, layer in layers.items():
        layer.training = model.get_submodule(name).training
        model.set_submodule(name, layer)
    return model
