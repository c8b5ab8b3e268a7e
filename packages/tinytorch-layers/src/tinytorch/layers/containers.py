"""Modules made of modules, or of parameters: in a list, or by name."""

from __future__ import annotations

import operator
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, ClassVar, Self

from .lowering import Lowered, lower, lowers
from .module import Module
from .parameter import Parameter

Named = Mapping[str, Any] | Iterable[tuple[str, Any]]


class _Parts(Module):
    """Attributes of one kind, in the order they were set."""

    _kind: ClassVar[type] = Module

    def _parts(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if isinstance(value, self._kind)}

    def _accepted(self, part: Any) -> Any:
        if not isinstance(part, self._kind):
            raise TypeError(
                f"{type(self).__name__}: got a {type(part).__name__}; every part must be a {self._kind.__name__}"
            )
        return part

    def _set_named(self, named: Named) -> None:
        """All of them, or none when a name cannot be an attribute."""
        parts = dict(named)
        own = self._parts()
        for name, part in parts.items():
            free = isinstance(name, str) and name and "." not in name and (name in own or not hasattr(self, name))
            if not free or not isinstance(part, self._kind):
                what = f"{type(self).__name__}: {name!r} names a {type(part).__name__}"
                raise TypeError(f"{what}; it needs a free name without dots, a {self._kind.__name__}")
        for name, part in parts.items():
            setattr(self, name, part)

    def __len__(self) -> int:
        return len(self._parts())


class _Row(_Parts):
    """Parts in a list, named by their places."""

    def __init__(self, parts: Iterable[Any] = ()) -> None:
        self.extend(parts)

    def append(self, part: Any) -> Self:
        """Add a part at the end."""
        return self.extend([part])

    def extend(self, parts: Iterable[Any]) -> Self:
        """Add parts at the end: all of them, or none when one cannot be a part."""
        place = len(self)
        for part in [self._accepted(part) for part in parts]:
            while str(place) in self.__dict__:  # the names of a slice go on counting from its beginning
                place += 1
            setattr(self, str(place), part)
        return self

    def insert(self, index: int, part: Any) -> Self:
        """Add a part before place `index`; the later ones move up."""
        parts = list(self._parts().items())
        parts.insert(index, ("0", self._accepted(part)))
        return self._hold(parts)

    def pop(self, index: int = -1) -> Any:
        """Take the part at place `index` away and return it; the later ones move down."""
        part = self[index]
        del self[index]
        return part

    def _hold(self, parts: list[tuple[str, Any]]) -> Self:
        """These parts and no others, those without a name of their own numbered by their places."""
        for name in self._parts():
            delattr(self, name)
        for place, (name, part) in enumerate(parts):
            setattr(self, str(place) if name.isdecimal() else name, part)
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts().values())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._of(dict(list(self._parts().items())[index]))
        return self.__dict__[self._name(index)]

    def __setitem__(self, index: int, part: Any) -> None:
        setattr(self, self._name(index), self._accepted(part))

    def __delitem__(self, index: int | slice) -> None:
        parts = list(self._parts().items())
        if not isinstance(index, slice):
            self._name(index)
        del parts[index]
        self._hold(parts)

    def __add__(self, parts: Iterable[Any]) -> Any:
        return self._of({str(place): part for place, part in enumerate([*self, *parts])})

    def __iadd__(self, parts: Iterable[Any]) -> Self:
        return self.extend(parts)

    def _of(self, parts: dict[str, Any]) -> Any:
        """A list of these parts; not of this class, because a subclass may be made of something else."""
        return ParameterList(parts.values()) if self._kind is Parameter else ModuleList(parts.values())

    def _name(self, index: int) -> str:
        names = list(self._parts())
        if not -len(names) <= operator.index(index) < len(names):
            raise IndexError(f"{type(self).__name__}: index {index}; it holds {len(names)} {self._kind.__name__}s")
        return names[index]


class ModuleList(_Row):
    """Modules in a list, named by their places; how they are called is up to whoever holds the list.

    Raises TypeError for a part that is not a module.

    >>> from tinytorch.layers import Linear
    >>> layers = ModuleList(Linear(4, 4) for _ in range(3))
    >>> len(layers), [name for name, _ in layers[:2].named_parameters()]
    (3, ['0.weight', '0.bias', '1.weight', '1.bias'])
    """


class ParameterList(_Row):
    """Parameters in a list, named by their places. Raises TypeError for a part that is not one.

    >>> scales = ParameterList(Parameter([float(n)]) for n in range(3))
    >>> [name for name, _ in scales.named_parameters()], scales[-1]
    (['0', '1', '2'], Parameter([2.], requires_grad=True))
    """

    _kind = Parameter


class Sequential(_Row):
    """Modules called one after another, each on what the one before returned.

    Takes modules, or one dict of named modules. A slice is a sequence of the same modules, under the same names.

    >>> from tinytorch.layers import Linear, ReLU
    >>> Sequential(Linear(4, 8), ReLU(), Linear(8, 2))
    Sequential          58 parameters
    ├─ 0: Linear(4, 8)  40
    ├─ 1: ReLU()
    └─ 2: Linear(8, 2)  18
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            self._set_named(modules[0])
        else:
            self.extend(modules)

    def _of(self, parts: dict[str, Any]) -> Sequential:
        return Sequential(parts)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x

    @lowers("forward", "__iter__")
    def lower(self) -> Lowered | None:
        steps = [step for module in self if (step := lower(module)) is not None]

        def in_turn(x: Any) -> Any:
            for step in steps:
                x = step(x)
            return x

        return in_turn if len(steps) == len(self) else None


class _Table(_Parts):
    """Parts by name."""

    def __init__(self, parts: Named = ()) -> None:
        self.update(parts)

    def update(self, parts: Named) -> None:
        """Set parts by name, of a dict or of pairs: all of them, or none when a name cannot be an attribute."""
        self._set_named(parts)

    def pop(self, name: str) -> Any:
        """Take a part away and return it."""
        part = self[name]
        delattr(self, name)
        return part

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._parts().keys()

    def values(self) -> ValuesView[Any]:
        """The parts."""
        return self._parts().values()

    def items(self) -> ItemsView[str, Any]:
        """The names and parts."""
        return self._parts().items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts())

    def __contains__(self, name: object) -> bool:
        return name in self._parts()

    def __getitem__(self, name: str) -> Any:
        parts = self._parts()
        if name not in parts:
            raise KeyError(f"{type(self).__name__}: there is no {name!r}; there are {', '.join(parts) or 'none'}")
        return parts[name]

    def __setitem__(self, name: str, part: Any) -> None:
        self._set_named({name: part})

    def __delitem__(self, name: str) -> None:
        self.pop(name)


class ModuleDict(_Table):
    """Modules by name; how they are called is up to whoever holds them.

    Raises TypeError for a part that is not a module, or a name that is taken or has a dot.

    >>> from tinytorch.layers import ReLU, Tanh
    >>> choices = ModuleDict({"relu": ReLU(), "tanh": Tanh()})
    >>> "relu" in choices, choices["tanh"]
    (True, Tanh())
    """


class ParameterDict(_Table):
    """Parameters by name. Raises TypeError for a part that is not one, or a name that is taken or has a dot.

    >>> [name for name, _ in ParameterDict({"scale": Parameter([1.0])}).named_parameters()]
    ['scale']
    """

    _kind = Parameter
