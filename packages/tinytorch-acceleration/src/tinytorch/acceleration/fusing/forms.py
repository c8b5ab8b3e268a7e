"""One form of a fused function: its trace and programs, for inputs of certain ranks, dtypes and equal sizes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor

from .gradient import differentiate
from .graph import SizesRead, Value
from .planning import Plan, plan
from .programs import Program
from .rewriting import REWRITTEN
from .tracing import trace

Fill = Callable[[Sequence[Any]], tuple[tuple[Any, ...], dict[str, Any]]]


class Form:
    """What is known of a function for one kind of call. `fill` puts tensors among the constants of the call."""

    def __init__(self, function: Callable[..., Any], name: str, fill: Fill, tensors: Sequence[Tensor]) -> None:
        self.function, self.name, self.fill = function, name, fill
        self.any_size = True
        try:
            found = trace(function, _stand_in_sizes(tensors), fill, REWRITTEN, sizes_known=False)
        except SizesRead:
            self.any_size = False
            found = trace(function, [(x.shape, x.dtype) for x in tensors], fill, REWRITTEN, sizes_known=True)
        self.tracer, self.inputs, self.out = found
        self.lock = RLock()
        self.plan = plan(self.inputs, [self.out])
        self.forward = Program(self.plan, f"fused_{name}")
        self._backward: dict[tuple[bool, ...], Program] = {}
        self.reached: set[Value] = set()
        """The inputs that have a gradient."""
        if self.out.dtype.kind == "f":  # what cannot be differentiated is refused now, not in a backward pass
            self.gradient_plan([value.dtype.kind == "f" for value in self.inputs])

    def plain(self, *tensors: Any) -> Any:
        """The function as it was written."""
        args, kwargs = self.fill(tensors)
        return self.function(*args, **kwargs)

    def backward(self, needs: Sequence[bool]) -> Program:
        """The program of the gradients that are needed, of the gradient of the result and the inputs."""
        wanted = tuple(bool(need) for need in needs)
        with self.lock:
            if wanted not in self._backward:
                self._backward[wanted] = Program(self.gradient_plan(wanted), f"fused_{self.name}_gradient")
            return self._backward[wanted]

    def gradient_plan(self, wanted: Sequence[bool]) -> Plan:
        """How these gradients are computed. Each is a value of its own, because nothing may share its memory."""
        axes = [axis for group in self.plan.groups for axis in group]
        seed, gradients = differentiate(self.tracer, axes, self.inputs, self.out, list(wanted))
        self.reached |= set(gradients)
        number = self.tracer.next_number
        own = [Value("same", (each,), each.dims, each.dtype, number()) for each in gradients.values()]
        return plan([*self.inputs, seed], own)


def _stand_in_sizes(tensors: Sequence[Tensor]) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Small shapes with the same sizes equal as in the real ones, and with 1 where that is the size."""
    small: dict[int, int] = {1: 1}
    fresh = itertools.count(2)
    return [
        (tuple(small[n] if n in small else small.setdefault(n, next(fresh)) for n in x.shape), x.dtype) for x in tensors
    ]


def forward(*inputs: Array, form: Form, dtype: np.dtype[Any]) -> tuple[Array, None]:
    """Compute with the program; `dtype`, that of the result, says that it is as it should be."""
    return form.forward(list(inputs))[0], None


def backward(
    g: Array, out: Array, saved: None, needs: Sequence[bool], *inputs: Array, form: Form, dtype: np.dtype[Any]
) -> list[Array | None]:
    """The gradients, where they are needed and the result depends on the input."""
    needs = [need and value in form.reached for need, value in zip(needs, form.inputs, strict=True)]
    gradients = iter(form.backward(needs)([*inputs, g]) if any(needs) else ())
    return [next(gradients) if need else None for need in needs]


def composition(*inputs: Any, form: Form, dtype: np.dtype[Any]) -> Any:
    """The function as it was written: what second derivatives go through."""
    return form.plain(*inputs)
