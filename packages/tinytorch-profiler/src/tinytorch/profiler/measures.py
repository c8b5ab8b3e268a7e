"""Single numbers about a model: its parameters, FLOPs, memory, latency."""

from __future__ import annotations

import copy
import gc
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tinytorch.autograd import enable_grad, no_grad
from tinytorch.layers import Embedding, Module
from tinytorch.tensor import Tensor, default_dtype, default_generator, handling

from .events import read
from .watch import Watch

MIB = 2**20

DType: TypeAlias = npt.DTypeLike | None
F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def trial(model: F) -> Iterator[F]:
    """A copy of `model` to be tried out: neither it nor the default generator is changed by what the copy computes.

    The copy shares the parameters, which a forward only reads. A function is not copied.
    """
    bits = default_generator().bit_generator
    state = bits.state
    try:
        shared = {id(parameter): parameter for parameter in model.parameters()} if isinstance(model, Module) else {}
        yield copy.deepcopy(model, shared) if isinstance(model, Module) else model
    finally:
        bits.state = state


def count_parameters(model: Module) -> int:
    """How many numbers the parameters of `model` hold; shared parameters count once.

    >>> from tinytorch.layers import Linear
    >>> count_parameters(Linear(3, 2))
    8
    """
    return model.num_parameters()


def count_flops(
    model: Callable[..., Any], input_shape: Sequence[int], dtype: DType = None, *, elementwise: bool = False
) -> int:
    """FLOPs of one forward for an input of `input_shape`: matrix products, convolutions and attention.

    A multiply-add is 2, as PyTorch's FlopCounterMode counts; with `elementwise` all other arithmetic is counted too.
    The input is zeros of `dtype`: the default float, or int64 for a model whose first parameters are an Embedding's.

    Raises NotImplementedError for operators without a formula, naming them.

    >>> from tinytorch.layers import Linear
    >>> count_flops(Linear(3, 2), (5, 3))
    60
    """
    watch = Watch()
    x = example(model, input_shape, dtype)
    with trial(model) as tried, no_grad(), handling(watch):
        tried(x)
    events = read(watch.log).events
    missing = sorted({event.name for event in events if event.known is None})
    if missing:
        raise NotImplementedError(
            f"count_flops: no formula for {', '.join(missing)}; give each one with tinytorch.profiler.flops_of"
        )
    return sum(event.work.products + (event.work.elementwise if elementwise else 0) for event in events)


def measure_memory(model: Module, input_shape: Sequence[int], dtype: DType = None) -> dict[str, float]:
    """Memory of one forward that records gradients, in MiB (2**20 bytes), for zeros of `input_shape`.

    `parameter_memory_mb`: the parameters; `buffer_memory_mb`: the buffers. `activation_memory_mb`: what the forward
    leaves alive for the backward. `peak_memory_mb`: parameters, buffers, and the most that Python and NumPy held at
    once during the forward, temporaries included (by tracemalloc, which slows the forward down).

    >>> from tinytorch.layers import Linear
    >>> measure_memory(Linear(256, 1024, bias=False), (256, 256))["parameter_memory_mb"]
    1.0
    """
    x = example(model, input_shape, dtype)
    parameters = sum(parameter.nbytes for parameter in model.parameters())
    with trial(model) as tried, enable_grad():
        tried(x)  # what is made on first use, such as a mask, is not part of a forward
        gc.collect()
        watch = Watch()
        with handling(watch):
            out = tried(x)
        activations = (read(watch.log).memory or [(0, 0)])[-1][1]
        del out
        peak = _traced_peak(lambda: tried(x))
    return {
        "parameter_memory_mb": parameters / MIB,
        "buffer_memory_mb": (model.nbytes - parameters) / MIB,
        "activation_memory_mb": activations / MIB,
        "peak_memory_mb": (model.nbytes + peak) / MIB,
    }


def _traced_peak(function: Callable[[], Any]) -> int:
    """The most bytes that were allocated at once while `function` ran, beyond those before."""
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()


class Latency(float):
    """The median in milliseconds, with its samples."""

    samples: list[float]
    """Milliseconds of each iteration, in their order."""

    def __new__(cls, samples: list[float]) -> Latency:
        self = super().__new__(cls, median(samples))
        self.samples = samples
        return self

    def quantile(self, share: float) -> float:
        """The milliseconds that this share of the iterations did not exceed: `quantile(0.9)`."""
        return float(np.quantile(self.samples, share))


def measure_latency(model: Callable[..., Any], input: Any, warmup: int = 10, iterations: int = 100) -> Latency:
    """The median time of `model(input)` in milliseconds, without recording gradients; a tuple is several inputs.

    The model is called as it is: `model.eval()` first, to measure it without dropout. `warmup` calls come before the
    `iterations` that are timed. Raises ValueError for no iterations.
    """
    if iterations < 1 or warmup < 0:
        raise ValueError(f"measure_latency: warmup={warmup}, iterations={iterations}; at least 0 and 1 are needed")
    inputs = input if isinstance(input, tuple) else (input,)
    samples = []
    with trial(model) as tried, no_grad():
        for _ in range(warmup):
            tried(*inputs)
        for _ in range(iterations):
            start = perf_counter_ns()
            tried(*inputs)
            samples.append((perf_counter_ns() - start) / 1e6)
    return Latency(samples)


def example(model: Any, input_shape: Sequence[int], dtype: DType) -> Tensor:
    """Zeros that `model` takes."""
    if dtype is None:
        dtype = np.int64 if _looks_up(model) else default_dtype()
    return Tensor(np.zeros(tuple(input_shape), dtype), dtype)


def _looks_up(model: Any) -> bool:
    """Whether the first part of `model` that holds numbers is a table of rows that integers name."""
    parts = model.modules() if isinstance(model, Module) else []
    first = next((each for each in parts if each.parameters(recurse=False) or each.buffers(recurse=False)), None)
    return isinstance(first, Embedding) or hasattr(first, "num_embeddings")  # a later stage has tables of its own
