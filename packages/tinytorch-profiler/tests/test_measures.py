"""One number about a model at a time."""

from __future__ import annotations

import copy
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch.tensor as tt
from tinytorch.autograd import is_grad_enabled
from tinytorch.layers import Dropout, Embedding, Linear, Module, ReLU, Sequential
from tinytorch.profiler import Profiler, summary
from tinytorch.tensor import Tensor, default_generator, handlers, manual_seed, note_write, primitive

prof = Profiler()


class Shared(Module):
    def __init__(self) -> None:
        self.first = Linear(4, 4)
        self.second = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_parameters_are_counted_once() -> None:
    assert prof.count_parameters(Linear(3, 5)) == 3 * 5 + 5
    assert prof.count_parameters(Shared()) == 4 * 4 + 4


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8))
def test_flops_of_a_linear_layer(batch: int, n: int, m: int) -> None:
    assert prof.count_flops(Linear(n, m), (batch, n)) == 2 * batch * n * m
    assert prof.count_flops(Linear(n, m), (batch, n), elementwise=True) == 2 * batch * n * m + batch * m


def test_flops_count_every_use_of_a_shared_layer() -> None:
    assert prof.count_flops(Shared(), (2, 4)) == 2 * (2 * 2 * 4 * 4)


def test_a_model_that_looks_up_gets_integers() -> None:
    model = Sequential(Embedding(10, 4), Linear(4, 3))
    assert prof.count_flops(model, (2, 5)) == 2 * 10 * 4 * 3
    assert prof.measure_memory(model, (2, 5))["parameter_memory_mb"] == 4 * (40 + 15) / 2**20


def test_flops_of_an_operator_without_a_formula_are_refused() -> None:
    @primitive
    def enigma(x: Any, /) -> Any:
        return x

    class Enigmatic(Module):
        def forward(self, x: Tensor) -> Tensor:
            return enigma(x)

    with pytest.raises(NotImplementedError, match=r"no formula for enigma; .*flops_of"):
        prof.count_flops(Enigmatic(), (2,))
    assert len(handlers()) == 1


def test_memory_is_parameters_activations_and_a_peak_above_both() -> None:
    model = Sequential(Linear(256, 1024, bias=False), ReLU())
    found = prof.measure_memory(model, (512, 256))
    assert found["parameter_memory_mb"] == 1.0
    assert found["activation_memory_mb"] == 2.0  # what is left of the product, which itself is not needed
    assert found["peak_memory_mb"] == pytest.approx(1.0 + 4.0, rel=0.05)
    assert not tracemalloc.is_tracing()


def test_memory_of_temporaries_is_in_the_peak_alone() -> None:
    class Wasteful(Module):
        def forward(self, x: Tensor) -> Tensor:
            np.zeros((1024, 1024), np.float32)
            return x + 1.0

    found = prof.measure_memory(Wasteful(), (8, 8))
    assert found["activation_memory_mb"] == 256 / 2**20
    assert found["peak_memory_mb"] >= 4.0


def test_latency_is_a_median_in_milliseconds_without_gradients() -> None:
    calls: list[bool] = []

    def model(x: Tensor) -> None:
        calls.append(is_grad_enabled())
        time.sleep(0.002)

    found = prof.measure_latency(model, tt.ones(1), warmup=2, iterations=5)
    assert calls == [False] * 7
    assert len(found.samples) == 5
    assert 2.0 <= found < 200
    assert found == sorted(found.samples)[2]
    assert min(found.samples) <= found.quantile(0.1) <= found.quantile(0.9) <= max(found.samples)


def test_latency_takes_several_inputs_and_refuses_no_iterations() -> None:
    assert prof.measure_latency(lambda x, y: x @ y, (tt.ones(2, 3), tt.ones(3, 2)), 0, 1) > 0
    with pytest.raises(ValueError, match="iterations=0"):
        prof.measure_latency(lambda x: x, tt.ones(1), iterations=0)


class Restless(Module):
    """A forward that changes all that a forward can change."""

    def __init__(self) -> None:
        self.linear = Linear(4, 4)
        self.dropout = Dropout(0.5)
        self.generator = np.random.default_rng(1)
        self.register_buffer("mean", tt.zeros(4))
        self.calls = 0
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(x.shape)
        self.last = x
        x = self.dropout(self.linear(x))
        self.mean.data[...] += x.data.mean(axis=0) + self.generator.random()
        note_write(self.mean.data)
        return x


QUESTIONS: dict[str, Callable[[Module], Any]] = {
    "count_flops": lambda model: prof.count_flops(model, (8, 4), elementwise=True),
    "measure_memory": lambda model: prof.measure_memory(model, (8, 4)),
    "measure_latency": lambda model: prof.measure_latency(model, tt.ones(8, 4), 1, 2),
    "summary": lambda model: summary(model, (8, 4)),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_leaves_every_attribute_of_the_model_and_the_generator_as_they_were(question: str) -> None:
    manual_seed(0)
    model = Restless()
    generators = default_generator().bit_generator.state, model.generator.bit_generator.state
    arrays = {name: tensor.data for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    values = copy.deepcopy(arrays)
    attributes = {name: dict(vars(module)) for name, module in model.named_modules()}
    QUESTIONS[question](model)
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == attributes
    assert (model.calls, model.seen) == (0, [])
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        assert tensor.data is arrays[name]
        assert tensor.grad is None
        np.testing.assert_array_equal(tensor.data, values[name])
    assert (default_generator().bit_generator.state, model.generator.bit_generator.state) == generators


def test_the_generator_is_as_it_was_after_an_error_too() -> None:
    class Breaks(Module):
        def forward(self, x: Tensor) -> Tensor:
            tt.rand(3)
            raise ArithmeticError("on purpose")

    state = default_generator().bit_generator.state
    with pytest.raises(ArithmeticError, match="on purpose"):
        prof.count_flops(Breaks(), (2, 4))
    assert default_generator().bit_generator.state == state


def test_a_question_copies_no_parameter() -> None:
    model = Linear(1024, 1024, bias=False)
    tracemalloc.start()
    prof.count_flops(model, (1, 1024))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < model.weight.nbytes / 4
