"""Memory: what is alive, against what Python itself says of it."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import pytest

import tinytorch.tensor as tt
from tinytorch.layers import Embedding, Linear, ReLU, Sequential
from tinytorch.layers import functional as F
from tinytorch.profiler import Profiler
from tinytorch.tensor import Tensor

KIB, MIB = 2**10, 2**20


@pytest.fixture
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_live_bytes_follow_what_is_kept() -> None:
    x = tt.ones(256, 1024)
    with Profiler() as prof:
        y = x.exp()
        z = y + x
        assert prof.current_memory == 2 * MIB
        del y
        assert prof.current_memory == MIB
        del z
        assert prof.current_memory == 0
    assert prof.peak_memory == 2 * MIB
    assert [event.allocated for event in prof.events] == [MIB, MIB]


def test_current_and_peak_are_those_of_tracemalloc(traced: None) -> None:
    x = tt.ones(256, 1024)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    with Profiler() as prof:
        kept = [(x * 2.0).exp() for _ in range(3)]
        current, peak = tracemalloc.get_traced_memory()
    assert len(kept) == 3
    assert prof.current_memory == pytest.approx(current - before, abs=64 * KIB)
    assert prof.peak_memory == pytest.approx(peak - before, abs=64 * KIB)


def test_a_training_step_holds_what_tracemalloc_says(traced: None) -> None:
    model = Sequential(Linear(256, 1024), ReLU(), Linear(1024, 256))
    x = tt.ones(512, 256)
    model(x).sum().backward()
    model.zero_grad()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    with Profiler(model) as prof:
        out = model(x)
        held = tracemalloc.get_traced_memory()[0] - before
        assert prof.current_memory == pytest.approx(held, rel=0.02, abs=64 * KIB)
        out.sum().backward()
        peak = tracemalloc.get_traced_memory()[1] - before
    # tracemalloc also sees what lives inside a rule alone, so it may see more
    assert 0.75 * peak <= prof.peak_memory <= 1.01 * peak


def test_gradients_outlive_the_step_and_activations_do_not() -> None:
    model = Linear(64, 32)
    with Profiler(model) as prof:
        model(tt.ones(128, 64)).sum().backward()
        assert prof.current_memory == 4 * (64 * 32 + 32)
        model.zero_grad()
        assert prof.current_memory == 0
    assert prof.peak_memory >= 4 * 128 * 32


def test_a_view_is_no_new_memory_and_keeps_the_old_alive() -> None:
    x = tt.ones(16, 16)
    with Profiler() as prof:
        y = x.exp().reshape(256)
        x.T.reshape(4, 8, 8)[0].flip(0)
    assert [event.allocated for event in prof.events] == [KIB, 0, 0, KIB, 0, 0]
    assert y.size == 256
    assert prof.current_memory == KIB


def test_a_reshape_that_copies_is_new_memory() -> None:
    x = tt.ones(16, 16)
    with Profiler() as prof:
        y = x.T.reshape(256)
    assert y.size == 256
    assert [event.allocated for event in prof.events] == [0, KIB]


def test_writing_in_place_is_no_new_memory() -> None:
    x = tt.ones(16, 16)
    with Profiler() as prof:
        x[0] = 3.0
    assert [event.allocated for event in prof.events] == [0]


def test_what_a_fused_primitive_saves_is_counted() -> None:
    x = tt.ones(64, 32, requires_grad=True)
    with Profiler() as prof:
        out = F.layer_norm(x)
    assert prof.events[0].allocated == out.nbytes + 2 * 64 * 4  # mean and scale of each row
    assert prof.current_memory == prof.events[0].allocated


def test_the_timeline_ends_with_what_is_alive_and_its_top_is_the_peak() -> None:
    x = tt.ones(16, 16)
    with Profiler() as prof:
        y = (x.exp() + 1.0).tanh()
    times, live = zip(*prof.memory_timeline, strict=True)
    assert list(times) == sorted(times)
    assert live[-1] == prof.current_memory == y.nbytes
    assert max(live) == prof.peak_memory
    assert min(live) >= 0


def test_watching_keeps_nothing_alive() -> None:
    table = Embedding(64, 16)
    with Profiler() as prof:
        F.cross_entropy(table(Tensor([1, 2])) @ tt.ones(16, 4), Tensor([0, 1])).backward()
        table.zero_grad()
        gc.collect()
        assert prof.current_memory == 0


def test_peak_of_a_row_is_the_most_alive_after_one_of_its_operations() -> None:
    x = tt.ones(16, 16)
    with Profiler() as prof:
        kept = [x.exp(), x.exp(), x.tanh()]
    assert len(kept) == 3
    assert {row.name: row.peak for row in prof.rows()} == {"exp": 2 * KIB, "tanh": 3 * KIB}
