"""Which kernel stands for what, and how often it did."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from tinytorch.autograd import rules
from tinytorch.layers import Module
from tinytorch.layers.changes import count_change
from tinytorch.optim import Optimizer
from tinytorch.tensor import Kernels, Primitive

F = TypeVar("F", bound=Callable[..., Any])


class Unserved(str):
    """What a kernel returns for a call that it does not serve: the reason, in a few words (`"dtype float16"`)."""

    __slots__ = ()


@dataclass(eq=False)
class Served:
    """The kernels for one original, the latest first, and how often they were asked."""

    name: str
    kernels: list[Callable[..., Any]] = field(default_factory=list)
    served: int = 0
    unserved: dict[str, int] = field(default_factory=dict)

    def __call__(self, *args: Any, **params: Any) -> Any:
        for kernel in self.kernels:
            out = kernel(*args, **params)
            if type(out) is not Unserved:
                break
        return self.note(out)

    def note(self, out: Any) -> Any:
        """Count an answer: `out`, or NotImplemented where it is an `Unserved`."""
        with _counting:
            if type(out) is not Unserved:
                self.served += 1
                return out
            self.unserved[out] = self.unserved.get(out, 0) + 1
        return NotImplemented


_counting = Lock()
if hasattr(os, "register_at_fork"):  # another thread may be counting while this one forks
    os.register_at_fork(
        before=_counting.acquire, after_in_parent=_counting.release, after_in_child=_counting.release
    )  # fmt: skip
table: dict[Any, Served] = {}
"""Every kernel by what it stands for: a primitive, the rule of its gradient, the `update` of an optimizer."""
handler = Kernels(table)


def serves(primitive: Primitive) -> Callable[[F], F]:
    """Register a kernel for the forward of `primitive`: the same arguments, as arrays, and the same result.

    For a fused primitive that is the pair (out, saved), and `saved` is what the primitive's own forward would save, so
    that either backward can read it. For calls it does not serve a kernel returns an `Unserved` with the reason; the
    kernels registered before it are asked then, and NumPy at the end. Errors are left to NumPy: what is wrong is not
    served. While acceleration is enabled the kernel is used at once, in lowered functions too.

    >>> from tinytorch.acceleration import Unserved, accelerating, serves
    >>> from tinytorch.tensor import Tensor, primitive
    >>> @primitive
    ... def double(x, /):
    ...     return x * 2
    >>> @serves(double)
    ... def by_adding(x):
    ...     return x + x if x.dtype == "float32" else Unserved(f"dtype {x.dtype}")
    >>> with accelerating() as report:
    ...     double(Tensor([1.0])), double(Tensor([1]))
    (Tensor([2.]), Tensor([2]))
    >>> report["double"].served, report["double"].unserved
    (1, {'dtype int64': 1})
    """
    return _enter(primitive, primitive.name)


def serves_gradient(primitive: Primitive) -> Callable[[F], F]:
    """Register a kernel for the gradient of `primitive`: `(g, out, saved, needs, *inputs, **params)` -> the gradients.

    These are the arguments of a fused rule (see `tinytorch.autograd.defvjp`): what the rule keeps has values, other
    inputs may be stand-ins with a `shape` and a `dtype`. The arrays it returns share memory with nothing. For the rest
    it is as `serves`.
    """

    def register(kernel: F) -> F:
        def as_rule(g: Any, out: Any, saved: Any, needs: Any, inputs: Any, params: Any) -> Any:
            return kernel(g, out, saved, needs, *inputs, **params)

        _enter(rules[primitive], f"{primitive.name} backward")(as_rule)
        return kernel

    return register


def serves_update(optimizer: type[Optimizer]) -> Callable[[F], F]:
    """Register a kernel for the updates of an optimizer, and of those that inherit its method `update`.

    The kernel takes the arguments of `Optimizer.update_group`, `(optimizer, group, memory, arrays, gradients)`, and
    does what that does: it changes the arrays of the parameters and of `memory.state` in place and returns None.
    """
    return _enter(optimizer.update, f"{optimizer.__name__} update")


def serves_module(kind: type[Module]) -> Callable[[F], F]:
    """Register what makes the lowered function of such a module: `(module, usual)` -> a function in place of `usual`.

    It is asked when `tinytorch.layers.lower` has lowered a module of exactly this kind to the function `usual`, and
    returns an `Unserved` with the reason where it leaves it at that.
    """
    return _enter(kind, f"{kind.__name__}, lowered")


def _enter(original: Any, name: str) -> Callable[[F], F]:
    def register(kernel: F) -> F:
        entry = table.setdefault(original, Served(name))
        entry.kernels = [kernel, *entry.kernels]
        count_change()  # functions lowered before do not know it
        return kernel

    return register
