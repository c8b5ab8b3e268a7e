"""Modules and parameters in plain lists, tuples and dicts, where they are not found and never learned."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module

CONTAINERS: dict[type, str] = {list: "List", tuple: "List", dict: "Dict"}
DEEPEST = 4


def refuse_hidden(modules: list[Module], kinds: tuple[type, ...]) -> None:
    """Raise TypeError for an attribute of `modules` that holds parts, of these kinds, that no other attribute is."""
    # the first few elements say whether a container holds parts: a long list of something else costs nothing
    held = [
        (module, name, value)
        for module in modules
        for name, value in module.__dict__.items()
        if type(value) in CONTAINERS and any(isinstance(part, kinds) for part in islice(_elements(value), 4))
    ]
    if not held:
        return
    known = {id(module) for module in modules}
    known |= {id(value) for module in modules for value in module.__dict__.values() if isinstance(value, Parameter)}
    for module, name, container in held:
        for part in _elements(container):
            if isinstance(part, kinds) and id(part) not in known:
                kind = "Parameter" if isinstance(part, Parameter) else "Module"
                raise TypeError(
                    f"{type(module).__name__}.{name} is a {type(container).__name__} with a {type(part).__name__}, "
                    f"which would not be found and learned; make it a {kind}{CONTAINERS[type(container)]}, "
                    "or, to hide it, a function that returns it"
                )


def _elements(container: Any, depth: int = 1) -> Iterator[Any]:
    for value in container.values() if type(container) is dict else container:
        if type(value) in CONTAINERS and depth < DEEPEST:
            yield from _elements(value, depth + 1)
        else:
            yield value
