"""Computing differently: a handler with functions on arrays that stand for others while it is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .dispatch import KERNEL, Primitive
from .running import Args, Params, Result, Run, finish, inputs_of

Kernel = Callable[..., Any]


class Kernels:
    """A handler at the innermost level; its `table` leads from what is computed to the kernel that stands for it.

    A primitive stands for its forward: the kernel takes the same arrays and parameters and returns the same result, the
    pair (out, saved) for a fused primitive, or NotImplemented where it does not serve the call; then the forward runs.
    Lowered functions use the table too. Other stages look up their own functions with `substitute`: autograd the rules
    of gradients (by the `Rule`), optim the updates of optimizers (by the method `update`).

    >>> from tinytorch.tensor import Tensor, exp, handling
    >>> import numpy as np
    >>> def rough(x):
    ...     return 1 + x if abs(x).max() < 1e-3 else NotImplemented
    >>> with handling(Kernels({exp: rough})):
    ...     Tensor([0.0001]).exp(), Tensor([1.0]).exp()
    (Tensor([1.0001]), Tensor([2.7183]))
    """

    level = KERNEL

    def __init__(self, table: Mapping[Any, Kernel]) -> None:
        self.table = table

    def kernel_for(self, original: Any) -> Kernel | None:
        """The kernel that stands for `original`, or None."""
        return self.table.get(original)

    def __call__(self, next: Run, primitive: Primitive, args: Args, params: Params) -> Result:
        kernel = self.kernel_for(primitive)
        if kernel is None:
            return next(primitive, args, params)
        out = kernel(*inputs_of(primitive, args), **params)
        if out is NotImplemented:
            return next(primitive, args, params)
        if primitive.fused:
            return finish(primitive, out[0], args, params), out[1]
        return finish(primitive, out, args, params)
