"""Names that later stages add to every tensor while they are enabled, and take away again."""

from __future__ import annotations

from typing import Any

from .arraylike import ArrayLike
from .tensor import Tensor

_providers: dict[str, str] = {}  # name -> how to switch it on
_off: set[str] = set()  # names that were added and taken away again


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
    _missing(_off - members.keys())


def retract(names: set[str]) -> None:
    """Take names away that `extend` added; a tensor that is asked for one says from then on how to switch it on.

    Raises ValueError for any other name.
    """
    foreign = sorted(name for name in names if name not in _providers or name in _off)
    if foreign:
        raise ValueError(
            f"retract: {', '.join(foreign)} was not added by extend; only what was added can be taken away"
        )
    for name in names:
        delattr(Tensor, name)
    _missing(_off | names)


def _missing(names: set[str]) -> None:
    """Have tensors explain `names` when they are asked for them.

    A class with `__getattr__` reads every attribute more slowly, slots too: it is there while there are such names.
    """
    global _off
    if names and not _off:
        ArrayLike.__getattr__ = _explain  # type: ignore[attr-defined]
    elif _off and not names:
        del ArrayLike.__getattr__  # type: ignore[attr-defined]
    _off = names


def _explain(self: Tensor, name: str) -> Any:
    message = f"{type(self).__name__!r} object has no attribute {name!r}"
    if name in _off:
        message += f" now: it comes with {_providers[name]}, which is off; call that first"
    raise AttributeError(message, name=name, obj=self)
