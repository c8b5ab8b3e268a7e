"""One layer after the other: each is quantized for the inputs that it gets from those that are quantized already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from tinytorch.autograd import no_grad
from tinytorch.layers import Embedding, Module

from .calibrate import evaluating, run, watching
from .errors import QuantizationError
from .gptq import Hessian
from .selecting import replace

Replace = Callable[[str, Module, Hessian | None], Module]
"""What takes the place of a layer of a name; there is no Hessian for a table, whose rows nothing is multiplied with."""


def replace_in_order(model: Module, layers: dict[str, Module], batches: Iterable[Any], make: Replace) -> Module:
    """Replace layers in the order in which the model calls them. After an error all of them are back.

    Layers that are called with the same tensor, such as the projections of an attention, are replaced together: they
    share the look at the examples, which is one pass through the model up to there.
    """
    examples = list(batches)
    made = {id(layer): make(name, layer, None) for name, layer in layers.items() if isinstance(layer, Embedding)}
    others = {name: layer for name, layer in layers.items() if id(layer) not in made}
    try:
        for together, calls in _steps(model, others, examples):
            hessian = Hessian(layers[together[0]])
            for batch in examples:
                _run_until(model, batch, hessian.layer, calls, hessian.observe)
            for name in together:
                made[id(layers[name])] = make(name, layers[name], hessian)
                replace(model, _places(layers, made, layers[name]))
        return replace(model, {name: made[id(layer)] for name, layer in layers.items()})
    except BaseException:
        replace(model, layers)
        raise


def _places(layers: dict[str, Module], made: dict[int, Module], layer: Module) -> dict[str, Module]:
    """What was made of a layer, under each name that the layer has below the model."""
    return {name: made[id(layer)] for name, each in layers.items() if each is layer and name}


def _steps(model: Module, layers: dict[str, Module], examples: list[Any]) -> list[tuple[list[str], int]]:
    """The names of layers that are called with the same tensor, in the order of the calls, and how often each is."""
    seen: list[tuple[str, Any]] = []  # the tensors are kept, so that no two are one object
    first = {id(layer): name for name, layer in reversed(layers.items())}
    with ExitStack() as stack:
        for name in first.values():
            stack.enter_context(watching(layers[name], lambda x, name=name: seen.append((name, x))))  # type: ignore[misc]
        run("quantize", model, examples[:1])
    calls = {name: sum(each == name for each, _ in seen) for name, _ in seen}
    if missing := [name for name in first.values() if name not in calls]:
        raise QuantizationError(f"quantize: no batch reached {missing[0]}; give batches that do, or leave it out")
    steps: list[tuple[list[str], int, Any]] = []
    for name, x in seen:
        if any(name in together for together, _, _ in steps):
            continue
        if steps and steps[-1][2] is x and steps[-1][1] == calls[name] == 1:
            steps[-1][0].append(name)
        else:
            steps.append(([name], calls[name], x))
    return [(together, number) for together, number, _ in steps]


class _Enough(Exception):
    """Ends a pass through the model where all that was wanted has been seen."""


def _run_until(model: Module, batch: Any, layer: Module, calls: int, observe: Callable[[Any], None]) -> None:
    """Call the model on a batch, up to the last of the layer's `calls`."""
    count = 0

    def note(x: Any) -> None:
        nonlocal count
        observe(x)
        count += 1
        if count == calls:
            raise _Enough

    with watching(layer, note), evaluating(model), no_grad():
        try:
            model(*batch) if isinstance(batch, tuple) else model(batch)
        except _Enough:
            return
