"""Names that later stages add to every tensor while they are enabled, and take away again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from .tensor import Tensor

_providers: dict[str, str] = {}  # name -> how to switch it on, of names that are on


@dataclass(frozen=True)
class Absent:
    """Stands in `Tensor` for a name that tensors do not have now: reading it raises AttributeError and says why."""

    name: str
    reason: str

    def __get__(self, tensor: Tensor | None, owner: type[Tensor]) -> NoReturn:
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}: {self.reason}")


def announce(provider: str, names: Iterable[str]) -> None:
    """Have tensors that are asked for one of `names` say that it comes with `provider` (`"enable_autograd()"`).

    >>> announce("enable_doctest()", ["thrice"])
    >>> try:
    ...     Tensor([1, 2]).thrice
    ... except AttributeError as error:
    ...     print(error)
    'Tensor' object has no attribute 'thrice': it comes with enable_doctest(), which is off; call it
    """
    for name in names:
        if not hasattr(Tensor, name):
            setattr(Tensor, name, Absent(name, f"it comes with {provider}, which is off; call it"))


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
    """Take away names that `extend` added; tensors then say how to switch them on. Raises ValueError for others."""
    foreign = sorted(names - _providers.keys())
    if foreign:
        raise ValueError(f"retract: {', '.join(foreign)} was not added by extend; only what was can be taken away")
    for name in names:
        delattr(Tensor, name)
        announce(_providers.pop(name), [name])
