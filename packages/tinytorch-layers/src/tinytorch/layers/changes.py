"""How often modules have changed, for code that derived something from them and asks whether it still holds."""

from __future__ import annotations

from typing import Any

_count = 0
_relied_on: dict[tuple[type, str], Any] = {}


def changes() -> int:
    """How often a module has changed: an attribute was set or deleted, or a method that `lower` relied on replaced.

    While it stands still, what was derived from modules holds. Hooks count (the first that is registered, the last that
    is removed), numbers inside a parameter do not.

    >>> from tinytorch.layers import Module
    >>> part, before = Module(), changes()
    >>> part.name = "head"
    >>> changes() - before
    1
    """
    replaced = {key: now for key, method in _relied_on.items() if (now := getattr(*key)) is not method}
    if replaced:
        _relied_on.update(replaced)
        count_change()
    return _count


def count_change() -> None:
    global _count
    _count += 1


def rely_on(methods: dict[tuple[type, str], Any]) -> None:
    """Count it as a change when one of these methods, by class and name, is replaced."""
    _relied_on.update(methods)
