"""Modules made of modules in a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

from .module import Module


class ModuleList(Module):
    """Modules in a list, named by their places; how they are called is up to whoever holds the list.

    >>> from tinytorch.layers import Linear
    >>> layers = ModuleList(Linear(4, 4) for _ in range(3))
    >>> len(layers), [name for name, _ in layers[:2].named_parameters()]
    (3, ['0.weight', '0.bias', '1.weight', '1.bias'])
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: got a {type(module).__name__}; every part must be a Module")
        setattr(self, str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Add a module before place `index`; the later ones move up."""
        modules = list(self)
        modules.insert(index, module)
        for place in range(len(self)):
            delattr(self, str(place))
        self.extend(modules)

    def __len__(self) -> int:
        return sum(1 for _ in self.named_children())

    def __iter__(self) -> Iterator[Any]:
        return iter([value for value in self.__dict__.values() if isinstance(value, Module)])

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ModuleList(list(self)[index])
        return self.__dict__[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.set_submodule(self._name(index), module)

    def _name(self, index: int) -> str:
        names = [name for name, _ in self.named_children()]
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__}: index {index}; there are {len(names)} modules")
        return names[index]


class Sequential(ModuleList):
    """Modules called one after another, each on what the one before returned.

    Takes modules, or one dict of named modules.

    >>> from tinytorch.layers import Linear, ReLU
    >>> Sequential(Linear(4, 8), ReLU(), Linear(8, 2))
    Sequential          58 parameters
    ├─ 0: Linear(4, 8)  40
    ├─ 1: ReLU()
    └─ 2: Linear(8, 2)  18
    """

    def __init__(self, *modules: Module | dict[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                if not isinstance(module, Module) or not name or "." in name or hasattr(self, name):
                    raise TypeError(
                        f"Sequential: {name!r} names a {type(module).__name__}; it needs a free name, a Module"
                    )
                setattr(self, name, module)
        else:
            self.extend(modules)  # type: ignore[arg-type]  # append refuses what is no Module

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self.named_children())[index]))
        return super().__getitem__(index)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x
