"""Names that later stages add to every tensor while they are enabled, and take away again."""

from __future__ import annotations

from typing import Any

from .tensor import Tensor

_providers: dict[str, str] = {}  # name -> how to switch it on


def extend(provider: str, members: dict[str, Any]) -> None:
    """Give every tensor new methods and properties; `provider` says how to switch them on (`"enable_autograd()"`).

    Raises ValueError when a name is taken: an extension adds, it never replaces.

    >>> extend("doctest", {"twice": lambda self: self + self})
    >>> Tensor([1, 2]).twice()
    Tensor([2, 4])
    >>> retract({"twice"})
    """
    taken = sorted(name for name in members if hasattr(Tensor, name))
    if taken:
        raise ValueError(f"extend: Tensor has {', '.join(taken)} already; an extension adds names, choose others")
    for name, member in members.items():
        setattr(Tensor, name, member)
        _providers[name] = provider


def retract(names: set[str]) -> None:
    """Take names away that `extend` added. Raises ValueError for any other name."""
    foreign = sorted(names - _providers.keys())
    if foreign:
        raise ValueError(
            f"retract: {', '.join(foreign)} was not added by extend; only what was added can be taken away"
        )
    for name in names:
        delattr(Tensor, name)


def missing(name: str) -> str:
    """What to say when a tensor is asked for a name that it does not have."""
    if name in _providers:
        return f"Tensor has no attribute {name!r} now: it comes with {_providers[name]}, which is off; call that first"
    return f"Tensor has no attribute {name!r}"
