"""`calibrate`: runs a model on examples, and finds the range of what its layers see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from tinytorch.autograd import no_grad
from tinytorch.layers import Module
from tinytorch.tensor import note_write

from .errors import QuantizationError
from .module import IntegerModule
from .observers import OBSERVERS, Observer, scale_of

M = TypeVar("M", bound=Module)


def calibrate(model: M, batches: Iterable[Any], observer: str | Callable[[], Observer] = "minmax") -> M:
    """Set the scales of a model's static activations to the range of what `batches` show; return the model.

    A batch is what the model is called with, a tuple several arguments. `observer` is "minmax", "percentile" (99.9 %
    of the numbers), "mse" (the range of the least squared error), or a function that makes an `Observer`. While it
    runs, the layers compute with dynamic activations, no gradients are recorded, and dropout is off.

    Raises QuantizationError where there are no batches, no layers with static activations, or one that no batch
    reached; then nothing has changed.

    >>> from tinytorch.layers import Linear, Sequential
    >>> from tinytorch.quantization import quantize
    >>> model = quantize(Sequential(Linear(4, 8), Linear(8, 2)), activations="static")
    >>> import numpy as np
    >>> calibrate(model, [np.ones((3, 4), np.float32)])[0].input_scale
    Tensor(0.0039)
    """
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, IntegerModule) and layer.activations == "static"
    }
    if not layers:
        raise QuantizationError("calibrate: no layer has static activations; quantize(model, activations='static')")
    if isinstance(observer, str) and observer not in OBSERVERS:
        raise QuantizationError(f"calibrate: observer is {observer!r}; it must be {', '.join(map(repr, OBSERVERS))}")
    made = {name: OBSERVERS[observer]() if isinstance(observer, str) else observer() for name in layers}
    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.enter_context(_dynamic(layer))
            stack.enter_context(watching(layer, made[name].observe))
        run("calibrate", model, batches)
    found = {name: scale_of(*_range(name, seen)) for name, seen in made.items()}
    for name, layer in layers.items():
        for tensor, value in zip((layer.input_scale, layer.input_zero_point), found[name], strict=True):
            if tensor is not None:
                tensor.data[...] = value
                note_write(tensor.data)
    return model


def run(owner: str, model: Module, batches: Iterable[Any]) -> None:
    """Call the model on each batch, as it computes when it does not train. Raises QuantizationError for no batches."""
    if "forward" in model.__dict__:
        raise QuantizationError(
            f"{owner}: the model has a forward of its own, such as that of an enabled cache; disable it meanwhile"
        )
    count = 0
    with evaluating(model), no_grad():
        for batch in batches:
            model(*batch) if isinstance(batch, tuple) else model(batch)
            count += 1
    if not count:
        raise QuantizationError(f"{owner}: there are no batches; give what the model is called with, at least once")


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Each part of the model as after `eval()`, and then again as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def watching(layer: Module, observe: Callable[[Any], None]) -> Iterator[None]:
    """Call `observe` with the input of a layer whenever it is called."""

    def hook(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        observe(args[0])

    handle = layer.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _dynamic(layer: IntegerModule) -> Iterator[None]:
    held = layer.input_scale, layer.input_zero_point
    layer.input_scale = layer.input_zero_point = None
    try:
        yield
    finally:
        layer.input_scale, layer.input_zero_point = held


def _range(name: str, seen: Observer) -> tuple[float, float]:
    try:
        return seen.range
    except QuantizationError:
        raise QuantizationError(f"calibrate: no batch reached {name}; give batches that do, or leave it out") from None
