"""How the reference reads the packages: examples as code, primitives with their words, bases that a user can import."""

import re
import sys
from typing import Any

from griffe import Attribute, Class, Docstring, Extension, Module, Object

from tinytorch.tensor import Tensor, registry

EXAMPLE = re.compile(r"^>>> .*\n(?:.+\n?)*", re.MULTILINE)  # up to the next empty line, as doctest reads it

FAMILIES = (
    "arraylike.ArrayLike", "methods.Elementwise", "methods.Reduce", "methods.Movement", "methods.Written",
)  # fmt: skip


def fence(text: str) -> str:
    return EXAMPLE.sub(lambda found: f"\n```pycon\n{found[0].rstrip()}\n```\n", text)


class Reference(Extension):
    """Completes what is read from the source with what only running it, or a reader, would know."""

    def on_module_members(self, *, mod: Module, **_: Any) -> None:
        """A module exports what it says when it runs; sums of the lists of others are not followed where it is read."""
        if mod.exports is not None and hasattr(sys.modules.get(mod.path), "__all__"):
            mod.exports = list(sys.modules[mod.path].__all__)

    def on_attribute(self, *, attr: Attribute, **_: Any) -> None:
        """A primitive that is made by a call has its words in the registry."""
        if attr.path in registry:
            attr.docstring = Docstring(registry[attr.path].__doc__ or "", parent=attr)

    def on_module(self, *, mod: Module, **_: Any) -> None:
        """Methods are put on `Tensor` at run time, with the words of the functions that they stand for."""
        if mod.path == "tinytorch.tensor":
            for family in FAMILIES:
                for name in [name for name in mod[family].members if not name.startswith("_")]:
                    member = mod[family].members.pop(name)
                    member.docstring = Docstring(getattr(Tensor, name).__doc__ or "", parent=member)
                    mod["tensor.Tensor"].set_member(name, member)

    def on_class(self, *, cls: Class, **_: Any) -> None:
        cls.bases = [base for base in cls.bases if not str(base).startswith("_")]

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fence(obj.docstring.value)
