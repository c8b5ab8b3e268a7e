"""The names that the packages make public, and which of them the reference would leave out."""

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType


def exported(module: str) -> list[str]:
    """What a public module makes public, in the order in which it says so."""
    found: list[str] | None = getattr(importlib.import_module(module), "__all__", None)
    if found is None:
        raise ValueError(f"{module}: a public module says what is public in it; give it an `__all__`")
    return found


def modules(path: str) -> Iterator[str]:
    """A package and its public modules, each before those below it."""
    yield path
    for name in exported(path):
        if isinstance(getattr(importlib.import_module(path), name), ModuleType):
            yield from modules(f"{path}.{name}")


def defined(module: str, name: str) -> str:
    """The path of a public name: within the module of the same name, where it stands before that."""
    path = f"{module}.{name}"
    apart = path in sys.modules and not isinstance(getattr(importlib.import_module(module), name), ModuleType)
    return f"{path}.{name}" if apart else path


def undocumented(module: str, words: Callable[[str], str]) -> list[str]:
    """The public names of a module for which `words` finds no docstring at their path."""
    return [f"{module}.{name}" for name in exported(module) if not words(defined(module, name))]
