"""Times: none negative, none counted twice, none lost; and nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch.tensor as tt
from tinytorch.autograd import defvjp, grad
from tinytorch.autograd.observing import _observers
from tinytorch.layers import Linear, Module, ReLU, Sequential
from tinytorch.layers import functional as F
from tinytorch.optim import SGD, Adam, AdamW, Lion, Muon, Optimizer, RMSprop
from tinytorch.profiler import Event, Profiler, Row
from tinytorch.profiler.events import Span, _nest
from tinytorch.tensor import Tensor, handlers, primitive

X = Tensor(np.linspace(-1, 1, 64).reshape(8, 8))


def network() -> Sequential:
    return Sequential(Linear(8, 16), ReLU(), Sequential(Linear(16, 4)))


def step(model: Module) -> None:
    model(X).sum().backward()


class Sleep(Module):
    """A module that takes its time, at least so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return x + 1.0


# Trees of spans: each is (time before, children, time after).
trees = st.recursive(
    st.just([]), lambda inner: st.lists(st.tuples(st.integers(0, 5), inner, st.integers(0, 5)), max_size=4)
)


def laid_out(tree: list[Any], start: int, spans: list[Span]) -> int:
    """Spans of a tree from `start` on, each after the other; returns the time at which they end."""
    for before, children, after in tree:
        stop = laid_out(children, start + before, spans) + after
        spans.append(Span("module", "", start, stop, thread=1))
        start = stop
    return start


@given(trees)
def test_self_times_are_not_negative_and_add_up_in_any_tree(tree: list[Any]) -> None:
    spans: list[Span] = []
    whole = laid_out(tree, 0, spans)
    _nest(spans)
    assert all(span.self_ns >= 0 for span in spans)
    assert sum(span.self_ns for span in spans) == whole


def test_self_times_of_operations_add_up_to_the_total_which_is_within_the_wall_time() -> None:
    model = network()
    with Profiler(model) as prof:
        step(model)
    assert all(event.self_ns >= 0 for event in prof.events)
    outermost = [event for event in prof.events if event.within("forward", "backward") is None]
    assert prof.total_ns == sum(event.duration for event in outermost) <= prof.wall_ns
    for group in ("operator", "shape", "region"):
        assert sum(row.self_ns for row in prof.rows(group)) == prof.total_ns


def test_every_operator_is_seen_forward_and_backward() -> None:
    model = network()
    with Profiler() as prof:
        step(model)
    counts = {row.name: row.count for row in prof.rows()}
    assert counts == {
        "linear": 2, "relu": 1, "sum": 1,
        "linear backward": 2, "relu backward": 1, "sum backward": 1,
    }  # fmt: skip


def test_total_of_the_outermost_module_holds_its_parts_and_backward() -> None:
    model = network()
    with Profiler(model) as prof:
        step(model)
    rows = {row.name: row for row in prof.rows("module")}
    assert set(rows) == {"", "0", "1", "2", "2.0", "(outside)"}
    assert rows[""].total_ns == sum(row.self_ns for name, row in rows.items() if name != "(outside)")
    assert {rows[name].count for name in ("", "0", "1", "2", "2.0")} == {1}
    assert rows["2"].total_ns == rows["2"].self_ns + rows["2.0"].self_ns
    assert rows["2.0"].flops == 3 * 2 * 8 * 16 * 4  # forward, and two gradients


def test_what_ran_outside_of_all_modules_has_its_own_row() -> None:
    model = network()
    with Profiler(model) as prof:
        model(X).exp().sum()
    row = {row.name: row for row in prof.rows("module")}["(outside)"]
    assert (row.count, row.self_ns) == (2, sum(event.duration for event in prof.events[-2:]))
    assert row.total_ns == row.self_ns


def test_a_row_begins_at_zero() -> None:
    numbers = asdict(Row("empty", "forward"))
    assert {numbers[name] for name in numbers.keys() - {"name", "kind"}} == {0}
    assert (Row("empty").rate, Row("empty").intensity, Row("empty").macs) == (0, 0, 0)


def test_backward_belongs_to_the_module_of_its_forward() -> None:
    model = network()
    with Profiler(model) as prof:
        step(model)
    modules = {(event.label, event.module) for event in prof.events if event.needs is not None}
    assert modules == {
        ("sum backward", None),
        ("linear backward", "2.0"),
        ("relu backward", "1"),
        ("linear backward", "0"),
    }


def test_time_is_that_of_a_clock() -> None:
    model = Sequential(Sleep(0.02), Sleep(0.01))
    with Profiler(model) as prof:
        model(X)
    rows = {row.name: row for row in prof.rows("module")}
    assert rows["0"].self_ns >= 20e6
    assert rows["1"].self_ns >= 10e6
    assert rows[""].total_ns >= 30e6
    assert rows[""].self_ns < rows["0"].self_ns


def test_operations_within_a_rule_are_parts_of_it() -> None:
    x, w = tt.ones(3, 4, requires_grad=True), tt.ones(4, 5, requires_grad=True)
    y = F.linear(x, w).sum()
    with Profiler() as prof:
        grad(y, x, create_graph=True)
    rule = next(event for event in prof.events if event.label == "linear backward")
    parts = [event for event in prof.events if event.within("backward") is rule]
    assert {event.name for event in parts} >= {"matmul"}
    assert rule.self_ns == rule.duration - sum(e.duration for e in parts if e.parent is rule)
    assert prof.total_ns <= prof.wall_ns


def test_nested_operations_of_one_name_are_counted_once_in_the_total() -> None:
    @primitive
    def again(x: Any, /, depth: int = 0) -> Any:
        return again(x, depth=depth - 1).tanh().data if depth else x + 1

    with Profiler() as prof:
        again(X, depth=2)
    events = {event.params["depth"]: event for event in prof.events if event.name == "again"}
    rows = {row.name: row for row in prof.rows()}
    assert (rows["again"].count, rows["tanh"].count) == (3, 2)
    assert rows["again"].total_ns == events[2].duration
    assert rows["again"].self_ns == sum(event.self_ns for event in events.values())
    assert rows["tanh"].total_ns == sum(event.duration for event in prof.events if event.name == "tanh")


def test_operations_of_one_name_with_another_between_are_counted_once_too() -> None:
    @primitive
    def outer(x: Any, /, depth: int = 1) -> Any:
        return inner(x, depth=depth).data

    @primitive
    def inner(x: Any, /, depth: int = 1) -> Any:
        return outer(x, depth=depth - 1).data if depth else x + 1

    with Profiler() as prof:
        outer(X)
    rows = {row.name: row for row in prof.rows()}
    longest = {name: max(e.duration for e in prof.events if e.name == name) for name in ("outer", "inner")}
    assert {name: row.total_ns for name, row in rows.items()} == longest


def test_a_full_log_ends_the_recording_and_says_what_is_missing() -> None:
    model = network()
    with Profiler(model, limit=40) as prof:
        for _ in range(20):
            step(model)
    assert len(prof.events) + prof.dropped == 20 * 8
    assert 0 < len(prof.events) <= 40
    assert f"{prof.dropped} later operations dropped" in prof.totals()
    assert prof.total_ns <= prof.wall_ns
    assert all(event.self_ns >= 0 for event in prof.events)
    prof.reset()
    assert prof.dropped == 0
    with prof:
        X.exp()
    assert [event.name for event in prof.events] == ["exp"]


def test_a_log_that_suffices_drops_nothing() -> None:
    model = network()
    with Profiler(model) as prof:
        step(model)
    assert prof.dropped == 0
    assert "dropped" not in prof.totals()


def test_a_full_log_grows_no_more() -> None:
    model = network()
    with Profiler(model, limit=10) as prof:
        for _ in range(5):
            step(model)
            model.zero_grad()
        full = len(prof._watch.log)
        for _ in range(50):
            step(model)
            model.zero_grad()
        assert len(prof._watch.log) == full


def test_regions_are_named_and_may_lie_in_each_other() -> None:
    with Profiler() as prof:
        with prof.region("train"):
            X.exp()
            with prof.region("loss"):
                X.sum()
        X.tanh()
    rows = {row.name: row for row in prof.rows("region")}
    assert {name: row.count for name, row in rows.items()} == {"train": 1, "loss": 1, "(outside)": 1}
    for span in prof.spans[1:]:
        assert rows[span.name].total_ns == span.duration
    assert rows["(outside)"].total_ns == prof.events[-1].duration


def test_a_region_within_itself_is_counted_once() -> None:
    with Profiler() as prof, prof.region("again"):
        X.exp()
        with prof.region("again"):
            X.exp()
    (row,) = prof.rows("region")
    assert (row.count, row.total_ns) == (2, max(span.duration for span in prof.spans if span.kind == "region"))


def test_entering_again_adds_and_reset_forgets() -> None:
    prof = Profiler()
    for _ in range(2):
        with prof:
            X.exp()
    assert [event.name for event in prof.events] == ["exp", "exp"]
    prof.reset()
    assert prof.events == []
    with prof, pytest.raises(RuntimeError, match="leave its with block first"):
        prof.reset()


def test_what_was_measured_can_be_asked_for_meanwhile() -> None:
    model = network()
    with Profiler(model) as prof:
        model(X)
        assert len(prof.events) == 3
        assert prof.wall_ns > 0
        model(X)
    assert len(prof.events) == 6


def test_nothing_stays_installed_also_after_an_error() -> None:
    model, before = network(), handlers()
    prof = Profiler(model)
    with pytest.raises(ValueError, match="inner sizes"), prof, prof.region("broken"):
        model(X) @ X
    assert handlers() == before
    assert not _observers
    assert all(module._hooks is None for module in model.modules())
    assert [event.name for event in prof.events] == ["linear", "relu", "linear"]
    with prof:
        X.exp()
    assert prof.events[-1].module is None
    assert prof.events[-1].within("region") is None


def test_a_module_that_fails_is_left_like_one_that_does_not() -> None:
    class Fails(Module):
        def forward(self, x: Tensor) -> Tensor:
            x.exp()
            raise ArithmeticError("on purpose")

    class Tries(Module):
        def __init__(self) -> None:
            self.fails = Fails()

        def forward(self, x: Tensor) -> Tensor:
            with pytest.raises(ArithmeticError, match="on purpose"):
                self.fails(x)
            return x.tanh()

    model = Tries()
    with Profiler(model) as prof:
        model(X).sum()
    assert [(event.name, event.module) for event in prof.events] == [("exp", "fails"), ("tanh", ""), ("sum", None)]


def test_an_error_in_a_gradient_rule_passes_through() -> None:
    @primitive
    def broken(x: Any, /) -> Any:
        return x + 1

    def refuse(g: Any, out: Any, x: Any) -> Any:
        raise ArithmeticError("no gradient today")

    defvjp(broken, refuse)
    with pytest.raises(ArithmeticError, match="no gradient today"), Profiler() as prof:
        broken(tt.ones(2, requires_grad=True)).sum().backward()
    assert [event.label for event in prof.events] == ["broken", "sum", "sum backward"]
    assert not _observers


def test_profilers_may_lie_in_each_other_and_in_themselves() -> None:
    model = network()
    with Profiler(model) as outer:
        X.exp()
        with Profiler(model) as inner, outer:
            step(model)
        X.tanh()
    assert len(outer.events) == len(inner.events) + 2
    assert inner.flops == outer.flops
    assert not _observers
    assert all(module._hooks is None for module in model.modules())


def test_results_are_the_same_while_watched() -> None:
    model = network()
    plain = model(X).data
    step(model)
    gradients = [parameter.grad.data.copy() for parameter in model.parameters()]
    model.zero_grad()
    with Profiler(model):
        watched = model(X).data
        step(model)
    np.testing.assert_array_equal(watched, plain)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_array_equal(parameter.grad.data, gradient)


def test_threads_are_told_apart() -> None:
    model, both = network(), threading.Barrier(2)

    def work() -> None:
        both.wait()
        for _ in range(20):
            step(model)

    with Profiler(model) as prof:
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({event.thread for event in prof.events}) == 2
    assert len(prof.events) == 2 * 20 * 8
    assert all(event.self_ns == event.duration >= 0 for event in prof.events)
    assert {event.module for event in prof.events if event.name == "relu"} == {"1"}


def test_only_a_module_is_a_model() -> None:
    with pytest.raises(TypeError, match="model is a str; it must be a Module"):
        Profiler("gpt")  # type: ignore[arg-type]


def test_events_say_what_they_were_given() -> None:
    with Profiler() as prof:
        tt.ones(2, 3) @ tt.ones(3, 4)
    (event,) = prof.events
    assert isinstance(event, Event)
    assert (event.label, event.shapes, event.output.shape) == ("matmul", "2x3, 3x4", (2, 4))


# Optimizers


OPTIMIZERS: list[tuple[Callable[[Module], Optimizer], int, int]] = [
    # the optimizer, its states per number, its operations per number
    (lambda model: SGD(model, lr=0.1), 0, 2),
    (lambda model: SGD(model, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1), 1, 9),
    (lambda model: Adam(model), 2, 12),
    (lambda model: Adam(model, weight_decay=0.1, amsgrad=True), 3, 15),
    (lambda model: AdamW(model, weight_decay=0.1), 2, 13),
    (lambda model: RMSprop(model), 1, 9),
    (lambda model: RMSprop(model, centered=True, momentum=0.9, weight_decay=0.1), 3, 18),
    (lambda model: Lion(model, weight_decay=0.1), 1, 10),
]


@pytest.mark.parametrize(("make", "states", "operations"), OPTIMIZERS)
def test_an_update_is_counted_with_its_work_and_state(
    make: Callable[[Module], Optimizer], states: int, operations: int
) -> None:
    model = network()
    optimizer = make(model)
    numbers = sum(p.size for p in model.parameters())
    with Profiler(model) as prof:
        step(model)
        before = prof.current_memory
        with prof.region("optimizer"):
            optimizer.step()
            optimizer.step()
        assert prof.current_memory == before + 4 * states * numbers
    first, second = prof.events[-2:]
    assert first.label == optimizer.kind == type(optimizer).__name__
    assert first.work == second.work == (0, operations * numbers)
    assert first.traffic == second.traffic == (4 * (2 + states) * numbers, 4 * (1 + states) * numbers)
    assert (first.allocated, second.allocated) == (4 * states * numbers, 0)
    assert optimizer.kind not in prof.not_counted
    assert {row.name: row.kind for row in prof.rows()}[optimizer.kind] == "update"
    rows = {row.name: row for row in prof.rows("region")}
    assert rows["optimizer"].count == 2
    assert rows["optimizer"].elementwise == 2 * operations * numbers
    assert 0 < rows["optimizer"].self_ns <= rows["optimizer"].total_ns
    assert prof.peak_memory >= before + 4 * states * numbers


def test_an_update_without_formula_is_named_and_one_without_gradients_is_none() -> None:
    model = Linear(4, 4, bias=False)
    with Profiler(model) as prof:
        Muon(model).step()
        assert prof.events == []
        model(tt.ones(2, 4)).sum().backward()
        Muon(model).step()
    assert prof.not_counted == {"Muon": 1}


def test_each_group_is_an_update_with_its_own_options() -> None:
    model = network()
    groups = [
        {"params": [model.get_parameter("0.weight")], "weight_decay": 0.1},
        {"params": [model.get_parameter("2.0.weight")], "weight_decay": 0.0},
    ]
    with Profiler() as prof:
        step(model)
        AdamW(groups).step()
    assert [event.work.elementwise for event in prof.events[-2:]] == [13 * 8 * 16, 12 * 16 * 4]


def test_a_full_log_leaves_updates_out_but_done() -> None:
    model = Linear(2, 2, bias=False)
    before = model.weight.data.copy()
    with Profiler(limit=1) as prof:
        model(tt.ones(1, 2)).sum().backward()
        SGD(model, lr=0.1).step()
    assert prof.dropped == 5
    assert (model.weight.data < before).all()
