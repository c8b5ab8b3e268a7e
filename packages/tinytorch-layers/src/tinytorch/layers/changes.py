"""How often modules have changed, for code that derived something from them and asks whether it still holds."""

from __future__ import annotations

from typing import Any

from tinytorch.tensor import kernels

_count = 0
_kernels = kernels()
_owners: list[type] = []
_names: list[str] = []
_methods: list[Any] = []  # what each owner had under each name when `lower` relied on it


def changes() -> int:
    """How often a module has changed: an attribute was set or deleted, or a method that `lower` relied on replaced.

    While it stands still, what was derived from modules holds. Hooks count (the first that is registered, the last that
    is removed), and so do the `kernels()` that are installed or taken out; numbers inside a parameter do not.

    >>> from tinytorch.layers import Module
    >>> part, before = Module(), changes()
    >>> part.name = "head"
    >>> changes() - before
    1
    """
    global _kernels
    if (installed := kernels()) is not _kernels:
        _kernels = installed
        count_change()
    now = list(map(getattr, _owners, _names))  # before each token of a generation, so it is quick
    if now != _methods:
        _methods[:] = now
        count_change()
    return _count


def count_change() -> None:
    global _count
    _count += 1


def rely_on(methods: dict[tuple[type, str], Any]) -> None:
    """Count it as a change when one of these methods, by class and name, is replaced."""
    known = set(zip(_owners, _names, strict=True))
    for (owner, name), method in methods.items():
        if (owner, name) not in known:
            _owners.append(owner)
            _names.append(name)
            _methods.append(method)
