"""Gradients are exact where sums share memory, where values are special, and where threads meet."""

from __future__ import annotations

import asyncio
import functools
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.autograd import (
    GraphError,
    defvjp,
    disable_autograd,
    enable_autograd,
    enable_grad,
    grad,
    gradcheck,
    is_grad_enabled,
    no_grad,
    observe_backward,
    rules,
    select,
)
from tinytorch.tensor import Tensor, primitive


def leaf(*values: float, dtype: Any = None) -> Tensor:
    return Tensor(list(values), dtype=dtype, requires_grad=True)


def test_a_number_used_four_times_gets_four() -> None:
    x = Tensor(2.0, requires_grad=True)
    (x + x + x + x).backward()
    assert x.grad is not None
    assert x.grad.item() == 4.0


def test_recorded_gradients_of_two_leaves_do_not_share_memory() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward(create_graph=True)
    (x * 2).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]
    assert y.grad.tolist() == [1.0, 1.0]


def test_what_grad_returns_is_the_callers_own() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x + y
    of_x, of_y, of_h = grad(h.sum(), [x, y, h])
    of_x.data *= 5.0
    assert of_y.tolist() == of_h.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "rule", [lambda g, out, x, y: [h := g * 1, h], lambda g, out, x, y: [h := g * 1, h[:]]], ids=["same", "view"]
)
def test_a_rule_may_give_one_array_to_two_inputs(rule: Callable[..., Any]) -> None:
    @primitive
    def together(x: Any, y: Any, /) -> Any:
        return x + y

    defvjp(together, jointly=rule)
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (y * 7 + x * 5 + together(x, y)).sum().backward()  # its rule is the first to run
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.tolist() == [6.0, 6.0]
    assert y.grad.tolist() == [8.0, 8.0]


def test_a_rule_that_gives_too_few_gradients_is_named() -> None:
    @primitive
    def forgetful(x: Any, y: Any, /) -> Any:
        return x + y

    defvjp(forgetful, jointly=lambda g, out, x, y: [g])
    with pytest.raises(RuntimeError, match="rule of forgetful gave 1 gradients for 2 inputs"):
        forgetful(leaf(1.0), leaf(1.0)).backward()


def test_an_input_without_a_gradient_ends_the_pass_there() -> None:
    condition = leaf(1.0, 0.0) * 2
    x = leaf(3.0, 4.0)
    tt.where(condition, x, 0.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 0.0]


def test_a_fused_rule_that_gives_a_bare_array_is_named() -> None:
    @primitive(fused=True)
    def bare(x: Any, /) -> tuple[Any, None]:
        return x * 2, None

    defvjp(bare, fused=lambda g, out, saved, needs, x: g * 2, composition=lambda x: x * 2)
    with pytest.raises(RuntimeError, match="rule of bare gave ndarray for 1 inputs"):
        bare(leaf(1.0)).backward()


def test_gradients_have_the_dtype_of_their_tensor_whatever_seeds_and_hooks_have() -> None:
    x = leaf(1.0, 2.0)
    x.backward(Tensor([1, 2]))
    x.register_hook(lambda g: Tensor([0.5, 0.5], "float64"))
    (x * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [1.5, 2.5]


def test_gradients_asked_of_integers_are_refused() -> None:
    counts = Tensor([1, 2])
    counts.requires_grad = True
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="dtype int64 has requires_grad=True; only floating-point"):
        (x * counts).sum().backward()
    assert x.grad is None


def test_grad_of_what_was_freed_says_so() -> None:
    x = leaf(1.0)
    y = x.exp().sum()
    grad(y, x)
    with pytest.raises(RuntimeError, match="freed by an earlier backward pass"):
        grad(y, x)


def test_a_hook_that_holds_its_tensor_is_collected_with_it() -> None:
    x = leaf(1.0)
    alive = weakref.ref(x)
    x.register_hook(functools.partial(lambda x, g: g + x, x))
    del x
    gc.collect()
    assert alive() is None


INF, NAN = float("inf"), float("nan")
SPECIAL: list[tuple[str, Callable[..., Any], list[float], list[float]]] = [
    ("zeroth power at zero", lambda x: x**0, [0.0, 2.0], [0.0, 0.0]),
    ("zeroth power by a tensor", lambda x: x ** Tensor([0.0, 1.0]), [0.0, 0.0], [0.0, 1.0]),
    ("max of a NaN", lambda x: x.max(), [1.0, NAN, 2.0], [0.0, 1.0, 0.0]),
    ("min of a NaN", lambda x: x.min(), [1.0, NAN, 2.0], [0.0, 1.0, 0.0]),
    ("max of infinities", lambda x: x.max(), [INF, INF, 1.0], [0.5, 0.5, 0.0]),
    ("maximum with a NaN", lambda x: x.maximum(2.0), [NAN, 1.0, 3.0, 2.0], [1.0, 0.0, 1.0, 0.5]),
    ("minimum with a NaN", lambda x: x.minimum(2.0), [NAN, 1.0, 3.0, 2.0], [1.0, 1.0, 0.0, 0.5]),
    ("clip outside", lambda x: x.clip(0.0, 1.0) * INF, [0.5, 2.0, -1.0], [INF, 0.0, 0.0]),
    ("where of infinite slopes", lambda x: tt.where([True, False], x, 0.0) * INF, [1.0, 1.0], [INF, 0.0]),
    ("running sum of all", lambda x: tt.cumsum(x.reshape(2, 2)), [1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]),
    ("part of the rows", lambda x: x.reshape(2, 2).gather([[1]], axis=1), [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 0.0]),
]


@pytest.mark.parametrize(("function", "values", "slopes"), [case[1:] for case in SPECIAL], ids=[c[0] for c in SPECIAL])
def test_slopes_at_special_values(function: Callable[..., Any], values: list[float], slopes: list[float]) -> None:
    x = leaf(*values)
    with np.errstate(invalid="ignore"):
        function(x).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.data, slopes)


def test_the_exponents_of_negative_numbers_have_no_slope() -> None:
    for base in (-2.0, Tensor([-2.0])):
        y = leaf(3.0)
        with np.errstate(invalid="ignore"):
            (base**y).sum().backward()
        assert y.grad is not None
        assert np.isnan(y.grad.item())


def test_the_variance_of_too_few_elements_has_no_slope() -> None:
    x = leaf(1.0)
    with np.errstate(all="ignore"):
        x.var(correction=1).backward()
    assert x.grad is not None
    assert np.isnan(x.grad.item())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_select_is_where_to_the_bit(dtype: str) -> None:
    g = np.array([[1.5, -0.0, INF, NAN, -INF, 1e-7]] * 2, dtype)[:, ::-1]
    for mask in (g > 0, np.array([True, False] * 3), np.bool_(False), ~np.isnan(g.T).T):
        expected = np.where(mask, g, np.zeros((), dtype))
        found = select(mask, g)
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()


def test_the_pieces_of_a_tensor_share_one_array_of_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a loop over n pieces costs what the tensor costs, and not n times that."""
    zeros = np.zeros
    made: list[Any] = []
    monkeypatch.setattr(np, "zeros", lambda *args, **kwargs: made.append(args) or zeros(*args, **kwargs))
    x = leaf(*map(float, range(100)))
    loss = sum((piece * k for k, piece in enumerate(x.reshape(50, 2).unbind())), Tensor(0.0)).sum()
    made.clear()
    loss.backward()
    assert x.grad.tolist() == [k for k in range(50) for _ in range(2)]
    assert len(made) == 1


def test_pieces_overlap_and_meet_other_gradients() -> None:
    x = leaf(1.0, 2.0, 3.0)
    h = x * 1
    seed = Tensor([1.0, 1.0, 1.0])
    (h + h[...] * 4 + h[::-1] * seed).sum().backward(retain_graph=True)
    ((h[1:] * 2).sum() + (h[:2] * 3).sum() + h[2] + (h * 5).sum()).backward()
    assert x.grad.tolist() == [6.0 + 8.0, 6.0 + 10.0, 6.0 + 8.0]
    assert seed.tolist() == [1.0, 1.0, 1.0]


def test_a_rule_that_reads_no_values_keeps_none_alive() -> None:
    x = leaf(1.0, 2.0)
    h = x * 3
    array = weakref.ref(h.data)
    y = (h + 1).reshape(2, 1)
    del h
    assert array() is None
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]


def test_what_no_rule_reads_may_be_changed_in_place() -> None:
    x = leaf(1.0, 2.0)
    h = x * 3
    y = (h + 1).sum()
    with no_grad():
        h[0] = 100.0
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_result_that_requires_no_gradient_passes_none_on() -> None:
    x, y = leaf(1.0), leaf(1.0)
    h = x * 3
    h.requires_grad = False
    (h + y).backward()
    assert x.grad is None
    assert y.grad is not None


def test_what_a_rule_keeps_is_said_in_three_words() -> None:
    with pytest.raises(ValueError, match=r"keep=\('output',\); it names 'inputs', 'out' and 'params'"):
        defvjp(tt.exp, lambda g, out, x: g * out, keep=("output",))
    assert rules[tt.exp].keeps_out
    assert not rules[tt.exp].keeps_inputs


def test_one_no_grad_may_be_entered_by_many_threads() -> None:
    quiet, inside, left = no_grad(), threading.Event(), threading.Event()
    found: dict[str, bool] = {}

    def first() -> None:
        with enable_grad():
            with quiet:
                inside.set()
                left.wait(5)
            found["first"] = is_grad_enabled()

    def second() -> None:
        inside.wait(5)
        with no_grad():
            with quiet:
                left.set()
                one.join(5)
            found["second"] = is_grad_enabled()

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    other.start()
    one.join()
    other.join()
    assert found == {"first": True, "second": False}


def test_blocks_that_overlap_leave_recording_as_it_was() -> None:
    def steps() -> Iterator[int]:
        with no_grad():
            yield 1

    walking = steps()
    next(walking)
    with enable_grad():
        next(walking, None)
    assert is_grad_enabled()


@pytest.fixture
def hasty() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(work: Callable[[], None], number: int = 4) -> list[Exception]:
    failures: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_threads_add_to_the_gradient_of_one_leaf(hasty: None) -> None:
    w = Tensor(np.ones(5000), requires_grad=True)

    def work() -> None:
        for _ in range(50):
            (w * 1.0).sum().backward()

    assert in_threads(work) == []
    assert w.grad is not None
    assert set(w.grad.tolist()) == {200.0}


def test_threads_may_enable_at_once(hasty: None) -> None:
    def work() -> None:
        for _ in range(50):
            enable_autograd()
            disable_autograd()

    assert in_threads(work) == []
    enable_autograd()
    assert is_grad_enabled()


def test_raw_float64_arrays_keep_their_digits_in_gradients() -> None:
    x, raw = leaf(3.0, 7.0, dtype="float64"), np.array([0.1, 0.2])
    gradcheck(lambda x: x * raw + [0.3, 0.7] / x, x)
    (x * raw).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.1, 0.2]


def test_what_was_computed_is_pickled_without_its_history() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    twin = pickle.loads(pickle.dumps(y))
    assert (twin.tolist(), twin.requires_grad, twin.is_leaf) == ([3.0, 6.0], True, True)
    y.sum().backward()
    assert pickle.loads(pickle.dumps(x)).grad.tolist() == [3.0, 3.0]


def test_decorated_generators_are_driven_as_they_are() -> None:
    seen: list[Any] = []

    @no_grad
    def steps() -> Iterator[Any]:
        try:
            while True:
                try:
                    seen.append((yield is_grad_enabled()))
                except KeyError as error:
                    seen.append(str(error))
        finally:
            seen.append(is_grad_enabled())

    walking: Any = steps()
    assert next(walking) is False
    assert walking.send("sent") is False
    assert walking.throw(KeyError("thrown")) is False
    assert is_grad_enabled()
    walking.close()
    assert seen == ["sent", "'thrown'", False]


def test_what_a_decorated_generator_ends_with_runs_inside_too() -> None:
    seen: list[Any] = []

    @no_grad
    def steps() -> Iterator[Any]:
        try:
            yield 1
        finally:
            seen.append(is_grad_enabled())

    walking = steps()
    assert next(walking) == 1
    del walking
    assert seen == [False]

    @no_grad()
    def returning() -> Iterator[Any]:
        return (yield 1)

    def delegating() -> Iterator[Any]:
        seen.append((yield from returning()))

    outer: Any = delegating()
    next(outer)
    with pytest.raises(StopIteration):
        outer.send("returned")
    assert seen == [False, "returned"]


def test_coroutines_and_their_generators_are_decorated_too() -> None:
    seen: list[bool] = []

    @no_grad()
    async def one() -> bool:
        await asyncio.sleep(0)
        return is_grad_enabled()

    @no_grad
    async def many() -> AsyncIterator[bool]:
        try:
            yield is_grad_enabled()
            await asyncio.sleep(0)
            yield is_grad_enabled()
        finally:
            seen.append(is_grad_enabled())

    async def recording() -> bool:
        await asyncio.sleep(0)
        return is_grad_enabled()

    async def run() -> None:
        assert await asyncio.gather(one(), recording(), one()) == [False, True, False]
        async for inside in many():
            assert not inside
            assert is_grad_enabled()

    asyncio.run(run())
    assert seen == [False]


def test_what_is_not_a_function_is_not_decorated() -> None:
    with pytest.raises(TypeError, match="no_grad: 3 is not a function"):
        no_grad(3)


def test_an_index_that_is_written_to_is_noticed() -> None:
    x, index = leaf(1.0, 2.0, 3.0), Tensor([0, 1])
    y = x[index] * 2
    z = np.stack([x, x])[Tensor([0]), index[:1]]
    by_array = x[index.data] * 2
    index[0] = 2
    for result in (y, z, by_array):
        with pytest.raises(RuntimeError, match="getitem was changed in place"):
            result.sum().backward()


def test_a_gradient_that_was_recorded_is_not_written_to() -> None:
    x = leaf(2.0)
    (x * x * x).sum().backward(create_graph=True)
    slope = x.grad
    assert slope is not None
    loss = (slope * slope).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert slope.tolist() == [12.0]
    assert x.grad.tolist() == [12.0 + 2 * 2 * 12.0 * 12.0]


def test_a_gradient_asked_for_twice_is_given_twice() -> None:
    x = leaf(1.0, 2.0)
    one, other = grad((x * x).sum(), [x, x])
    one.data[:] = 0
    assert other.tolist() == [2.0, 4.0]


def test_a_gradient_set_by_hand_is_added_to() -> None:
    x = leaf(1.0, 2.0)
    fixed = np.ones(2, np.float32)
    fixed.flags.writeable = False
    for by_hand in (Tensor(fixed), fixed, np.ones(2), [1, 1]):
        x.grad = by_hand
        assert isinstance(x.grad, Tensor)
        x.sum().backward()
        assert (x.grad.dtype, x.grad.tolist()) == (np.float32, [2.0, 2.0])


def test_a_gradient_that_became_too_large_is_refused() -> None:
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.data = x.data[:1]
    with pytest.raises(GraphError, match=r"the .grad of a tensor of shape \(1,\) float32 is one of shape \(2,\)"):
        x.sum().backward()


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_of_a_result_is_not_the_array_of_its_seed(create_graph: bool) -> None:
    x, seed = leaf(1.0, 2.0), Tensor([3.0, 4.0])
    for result in (x, x * 2):
        found = grad(result, result, seed, create_graph=create_graph)
        found.data[:] = 0.0
        assert seed.tolist() == [3.0, 4.0]
    x.backward(seed, create_graph=create_graph)
    assert not np.shares_memory(x.grad.data, seed.data)


def test_halves_are_summed_over_what_was_broadcast_in_single_precision() -> None:
    bias = Tensor(np.zeros(4), "float16", requires_grad=True)
    (Tensor(np.ones((10000, 4)), "float16") + bias).backward(np.ones((10000, 4)))
    assert bias.grad is not None
    assert bias.grad.tolist() == [10000.0] * 4


def test_what_grad_cannot_differentiate_is_named() -> None:
    x = leaf(1.0)
    y = x * x
    for wrong, message in (
        (lambda: grad(y, "x"), "input 0 is a str"),
        (lambda: grad(3.0, x), "output 0 is a float"),
        (lambda: grad(y, [x, None]), "input 1 is a NoneType"),
    ):
        with pytest.raises(TypeError, match=message):
            wrong()
    with pytest.raises(ValueError, match="2 outputs and 1 grad_outputs"):
        grad([y, y], x, Tensor([1.0]))
    assert grad(y, iter([x]))[0].tolist() == [2.0]


def test_what_a_rule_returns_and_keeps_is_not_written_to() -> None:
    kept = np.ones(3, np.float32)

    @primitive
    def straight(x: Any, /) -> Any:
        return x * 1

    for rule in (lambda g, out, x: kept, lambda g, out, x: memoryview(kept)):
        defvjp(straight, rule)
        x = leaf(1.0, 2.0, 3.0)
        h = x * 1
        (straight(h) + h * 2 + straight(x)).sum().backward()
        straight(x).sum().backward()
        assert (x.grad.tolist(), kept.tolist()) == ([5.0] * 3, [1.0] * 3)
    defvjp(straight, lambda g, out, x: x)
    x = leaf(1.0, 2.0, 3.0)
    straight(x).sum().backward()
    assert not np.shares_memory(x.grad.data, x.data)


def test_what_observers_copy_is_what_every_rule_returned() -> None:
    kept: list[Any] = []

    def keep(next: Any, node: Any, gradient: Any, needs: Any) -> Any:
        gradients = next(node, gradient, needs)
        kept.append((node.primitive.name, deepcopy([each for each in gradients if each is not None])))
        return gradients

    x = leaf(1.0, 2.0, 3.0)
    h = x * 2
    with observe_backward(keep):
        (h * h + h * 3 + x * 4).sum().backward()
    assert x.grad.tolist() == [18.0, 26.0, 34.0]
    found = [[each.tolist() for each in gradients] for name, gradients in kept if name == "multiply"]
    assert found == [[[4.0] * 3], [[3.0] * 3], [[2.0, 4.0, 6.0]] * 2, [[14.0, 22.0, 30.0]]]


def test_a_rule_may_give_a_tensor() -> None:
    @primitive
    def doubled(x: Any, /) -> Any:
        return x * 2

    defvjp(doubled, lambda g, out, x: tt.exp(np.zeros(2)) * g * 2)
    x = leaf(1.0, 2.0)
    h = x * 1
    (doubled(h) + doubled(h) + doubled(x)).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_a_gradient_that_was_computed_with_is_noticed_when_more_is_added_to_it() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    y = (x * x.grad).sum()
    (x * 5).sum().backward()
    with pytest.raises(RuntimeError, match="multiply was changed in place"):
        y.backward()


def test_a_generator_that_another_thread_finishes_leaves_that_thread_recording() -> None:
    def steps() -> Iterator[int]:
        with no_grad():
            yield 1

    begun, recorded = steps(), []

    def finish() -> None:
        assert list(begun) == []
        recorded.append((leaf(1.0) * 2).requires_grad)

    def begin_and_leave() -> None:
        next(begun)

    for part in (begin_and_leave, finish):
        thread = threading.Thread(target=part)
        thread.start()
        thread.join()
    assert recorded == [True]


def test_gradients_that_were_added_up_are_gone_when_the_next_rule_works() -> None:
    alive: list[int] = []
    given: list[weakref.ref[Any]] = []

    def watch(next: Any, node: Any, gradient: Any, needs: Any) -> Any:
        alive.append(sum(each() is not None for each in given))
        gradients = next(node, gradient, needs)
        given.extend(weakref.ref(each) for each in gradients if each is not None)
        return gradients

    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    for _ in range(5):
        x = x.tanh() * w
    with observe_backward(watch):
        x.sum().backward()
    assert max(alive) <= 2  # the gradient that is passed, and the sum for w


def test_a_piece_is_not_added_to_an_array_that_two_inputs_share() -> None:
    x, y = leaf(1.0, 2.0, 3.0), leaf(1.0, 2.0, 3.0)
    h, k = x * 1, y * 1
    piece = h[:1]
    (((h + k) * 1).sum() + piece.sum()).backward()
    assert x.grad.tolist() == [2.0, 1.0, 1.0]
    assert y.grad.tolist() == [1.0, 1.0, 1.0]


def test_gradients_of_results_that_pass_one_array_on_do_not_share_it() -> None:
    h = leaf(1.0, 2.0) * 1
    k = h + 1.0
    of_h, of_k = grad((k * 2).sum(), [h, k])
    of_h.data[:] = 0.0
    assert of_k.tolist() == [2.0, 2.0]


def test_grad_passes_through_nothing_that_it_does_not_need() -> None:
    x, other = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x.exp()
    y, aside = (h * 3).sum(), other.exp().sum()
    names: list[str] = []

    def note(next: Any, node: Any, gradient: Any, needs: Any) -> Any:
        names.append(node.primitive.name)
        return next(node, gradient, needs)

    with observe_backward(note):
        assert grad([y, aside], h).tolist() == [3.0, 3.0]
    assert names == ["sum", "multiply"]
    h.sum().backward()  # what led to h and to the other output is still there
    aside.backward()
    np.testing.assert_allclose(x.grad.data, np.exp([1.0, 2.0]), rtol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_the_rule_of_a_primitive_that_upcasts_gets_single_precision(fused: bool) -> None:
    seen: list[Any] = []

    @primitive(upcast=True, fused=fused)
    def twice(x: Any, /) -> Any:
        return (x * 2, None) if fused else x * 2

    def rule(g: Any, out: Any, *rest: Any) -> Any:
        seen.extend([g.dtype, out.dtype, rest[-1].dtype])
        return (g * 2,) if fused else g * 2

    if fused:
        defvjp(twice, fused=rule, composition=lambda x: x * 2)
    else:
        defvjp(twice, rule)
    for dtype, expected in (("float16", np.float32), ("float64", np.float64)):
        x = leaf(1.0, 2.0, dtype=dtype)
        twice(x).backward(np.ones(2))
        assert seen == [expected] * 3
        assert x.grad.dtype == dtype
        seen.clear()
