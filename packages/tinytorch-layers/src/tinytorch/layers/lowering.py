"""What modules compute as functions on plain arrays, for code that calls one function very often.

For one token of a small model, calling modules and dispatching operations takes longer than the arithmetic. A lowered
function leaves both out and keeps the arithmetic, because it is made of the forwards of the same primitives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from tinytorch.tensor import kernels

from .changes import rely_on
from .module import Module

Lowered: TypeAlias = Callable[..., Any]


def lower(x: Any, method: str = "forward") -> Lowered | None:
    """The function on arrays that computes what `x` computes, or None where that cannot be promised.

    `x` is a module, a primitive, or any object with a method `lower` that returns such a function. The function takes
    the positional arguments of `forward` as arrays and returns an array of the same numbers and dtype. It reads the
    numbers of parameters when it runs, records nothing, and no hook or handler sees it run. It holds until `changes()`
    moves. It is None for a module with hooks, with a forward of its own, or with active dropout, and for anything that
    contains one. Another `method` than forward is asked for by its name, where the class says what it is lowered to:
    `lower(embedding, "unembed")` calls its `lower_unembed`.

    >>> import numpy as np
    >>> from tinytorch.layers import LayerNorm, Linear, Sequential
    >>> model = Sequential(Linear(4, 3), LayerNorm(3))
    >>> x = np.ones((2, 4), np.float32)
    >>> bool((lower(model)(x) == model(x).data).all())
    True
    """
    declared = getattr(type(x), "lower" if method == "forward" else f"lower_{method}", None)
    if isinstance(declared, lowers):
        return declared.of(x) if method != "forward" else substituted(x, declared.of(x))
    return None if declared is None or isinstance(x, Module) else declared(x)


def substituted(module: Module, usual: Lowered | None) -> Lowered | None:
    """What installed `kernels()` make of a lowered module, or `usual`.

    A handler's `kernel_for(type(module))` is called with the module and the function that it was lowered to, and
    returns one for the same arguments, or NotImplemented.
    """
    for handler in kernels():
        if usual is not None and (make := handler.kernel_for(type(module))) is not None:
            made = make(module, usual)
            usual = usual if made is NotImplemented else made
    return usual


class lowers:
    """Declares that a module's method `lower` returns a function on arrays that stands for the methods named here.

    So does a method `lower_unembed` for `unembed`, and any other with such a name.

    `lower(module)` asks it only while they are those of the class that it was written in, neither overridden in a
    subclass nor replaced on the class or the instance. It may return None.

    >>> class Twice(Module):
    ...     def forward(self, x):
    ...         return x + x
    ...     @lowers("forward")
    ...     def lower(self):
    ...         return lambda x: x + x
    >>> lower(Twice())(3)
    6
    """

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, method: Callable[[Any], Lowered | None]) -> lowers:
        self.method = method
        return self

    def __set_name__(self, owner: type, name: str) -> None:
        self.meant = {name: getattr(owner, name) for name in (*self.names, "__call__")}

    def of(self, module: Module) -> Lowered | None:
        cls = type(module)
        if module._hooks is not None or any(name in module.__dict__ for name in self.names):
            return None
        if any(getattr(cls, name) is not method for name, method in self.meant.items()):
            return None
        rely_on({(cls, name): method for name, method in self.meant.items()})
        return self.method(module)
