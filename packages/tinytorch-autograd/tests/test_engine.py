"""The backward pass: linear, exact where paths meet, frugal, and clear about what it cannot do."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.autograd import (
    GraphError,
    defconst,
    defvjp,
    detect_anomaly,
    disable_autograd,
    draw_graph,
    enable_autograd,
    enable_grad,
    grad,
    gradcheck,
    gradgradcheck,
    is_grad_enabled,
    no_grad,
)
from tinytorch.tensor import Tensor, primitive


def leaf(*values: float, dtype: Any = None) -> Tensor:
    return Tensor(list(values), dtype=dtype, requires_grad=True)


def test_a_tensor_used_twice_gets_both_gradients() -> None:
    x = leaf(1.0)
    h = x * 2
    (h + h).backward(Tensor([1.0]))
    assert x.grad.tolist() == [4.0]


def test_a_tensor_used_many_times_gets_the_sum() -> None:
    x = leaf(1.0, 2.0)
    total = sum((x * k for k in range(1, 11)), x)
    total.sum().backward()
    assert x.grad.tolist() == [56.0, 56.0]


def test_a_graph_with_2_to_the_100_paths_is_linear() -> None:
    x = Tensor(1.0, dtype="float64", requires_grad=True)
    y = x
    for _ in range(100):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**100


def test_a_chain_of_100_000_operations_needs_no_recursion() -> None:
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1.0
    for _ in range(100_000):
        y = y + 1
    del y  # freeing it takes no recursion either


def test_gradients_add_up_over_backward_passes_until_they_are_zeroed() -> None:
    x = leaf(1.0)
    (x * 3).backward()
    (x * 4).backward()
    assert x.grad.tolist() == [7.0]
    x.zero_grad()
    assert x.grad is None


def test_leaves_own_their_gradients() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    a.grad.data[0] = 9.0
    assert b.grad.tolist() == [1.0, 1.0]
    seed = np.ones(2, np.float32)
    c = leaf(1.0, 2.0)
    c.reshape(2).backward(Tensor(seed))
    c.grad.data[0] = 9.0
    assert seed.tolist() == [1.0, 1.0]


def test_memory_is_freed_as_the_pass_proceeds_and_the_second_pass_says_so() -> None:
    x = leaf(1.0, 2.0)
    h = x.exp()
    kept = weakref.ref(h.data)
    y = (h * h).sum()
    del h
    y.backward(retain_graph=True)
    assert kept() is not None
    y.backward()
    gc.collect()
    assert kept() is None
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


def test_gradients_arrive_in_the_dtype_of_what_they_belong_to() -> None:
    narrow, wide = leaf(1.0), leaf(2.0, dtype="float64")
    (narrow * wide).backward()
    assert narrow.grad.dtype == np.float32
    assert wide.grad.dtype == np.float64


def test_the_other_input_may_be_a_list_or_an_array() -> None:
    for left in ([[1, 2]], np.array([[1.0, 2.0]]), ((1.0, 2.0),)):
        weight = Tensor([[1.0], [2.0]], requires_grad=True)
        tt.matmul(left, weight).sum().backward()
        assert weight.grad is not None
        np.testing.assert_array_equal(weight.grad.data, [[1.0], [2.0]])
        assert weight.grad.dtype == np.float32
        assert grad(tt.matmul(left, weight).sum(), weight, create_graph=True).tolist() == [[1.0], [2.0]]


def test_grad_leaves_dot_grad_alone_and_reaches_inner_tensors() -> None:
    x = leaf(2.0)
    h = x * x
    y = h * 3
    dh, dx = grad(y, [h, x])
    assert dh.tolist() == [3.0]
    assert dx.tolist() == [12.0]
    assert x.grad is None
    assert grad([x * 2, x * 3], x, [Tensor([1.0]), Tensor([10.0])]).tolist() == [32.0]


def test_grad_of_something_unused_is_an_error_or_none() -> None:
    x, other = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="do not depend on input 1"):
        grad(x * 2, [x, other])
    assert grad(x * 2, [x, other], allow_unused=True)[1] is None


def test_derivatives_of_derivatives() -> None:
    x = Tensor(2.0, dtype="float64", requires_grad=True)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        y = grad(y, x, create_graph=True)
        assert y.item() == expected
    z = Tensor(2.0, requires_grad=True)
    (z * z * z).backward(create_graph=True)
    slope = z.grad
    z.zero_grad()
    slope.backward()
    assert z.grad.item() == 12.0


def test_a_fused_primitive_is_differentiated_twice_through_its_composition() -> None:
    calls: list[str] = []

    @primitive(fused=True)
    def cube(x: Any, /, scale: float = 1.0) -> Any:
        return scale * x * x * x, x * x

    def backward(g: Any, out: Any, saved: Any, needs: Any, x: Any, scale: float = 1.0) -> Any:
        calls.append("fused")
        return (3 * scale * saved * g,)

    defvjp(cube, fused=backward, composition=lambda x, scale=1.0: x * x * x * scale)
    x = Tensor([1.0, 2.0], "float64", requires_grad=True)
    gradcheck(lambda x: cube(x, scale=2.0), x)
    assert calls
    gradgradcheck(lambda x: cube(x, scale=2.0), x)


def test_inputs_of_a_fused_primitive_may_depend_on_each_other() -> None:
    @primitive(fused=True)
    def product(x: Any, y: Any, /) -> Any:
        return x * y, None

    defvjp(
        product,
        fused=lambda g, out, saved, needs, x, y: (g * y, g * x),
        composition=lambda x, y: x * y,
    )
    x = Tensor([1.5], "float64", requires_grad=True)
    gradgradcheck(lambda x: product(x, x * x), x)


def test_hooks_see_and_replace_gradients_of_leaves_and_of_results() -> None:
    x = leaf(1.0)
    h = x * 2
    seen: list[float] = []
    handle = h.register_hook(lambda g: seen.append(g.item()))
    x.register_hook(lambda g: g * 100)
    (h * 5).backward()
    assert seen == [5.0]
    assert x.grad.tolist() == [1000.0]
    handle.remove()
    h2 = x * 2
    h2.register_hook(lambda g: Tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="tensor of its shape"):
        h2.backward()


def test_changing_a_kept_array_in_place_is_refused() -> None:
    w = Tensor([1.0, 2.0])
    x = leaf(1.0, 2.0)
    y = (x * w).sum()
    w[0] = 7.0
    with pytest.raises(RuntimeError, match="multiply was changed in place"):
        y.backward()
    late = Tensor([1.0, 2.0])
    z = (x * late).sum()
    z.backward()
    late[0] = 7.0  # after the pass it may change


def test_writing_into_what_is_differentiated_is_refused_by_name_before_anything_is_written() -> None:
    h = leaf(1.0, 2.0) * 1
    with pytest.raises(NotImplementedError, match="setitem has no gradient rule"):
        h[0] = 5.0
    assert h.tolist() == [1.0, 2.0]
    plain = tt.zeros(2)
    with pytest.raises(NotImplementedError, match="setitem"):
        plain[0] = h[0]
    with no_grad():
        plain[0] = h[0]


def test_a_primitive_without_a_rule_is_refused_by_name() -> None:
    @primitive
    def mystery(x: Any, /) -> Any:
        return x * 2

    with pytest.raises(NotImplementedError, match="mystery has no gradient rule"):
        mystery(leaf(1.0))
    assert mystery(Tensor([1.0])).tolist() == [2.0]
    defconst(mystery, reason="a test")
    assert not mystery(leaf(1.0)).requires_grad


@primitive
def scaled(x: Any, /, by: Any = 1.0) -> Any:
    return x * (by.data if isinstance(by, Tensor) else by)


defvjp(scaled, lambda g, out, x, by=1.0: g * by)


def test_a_parameter_that_requires_gradients_is_refused_by_name() -> None:
    for wrong in (leaf(2.0), [leaf(2.0)], (Tensor(1.0), leaf(2.0))):
        with pytest.raises(GraphError, match=r"scaled: by requires gradients, but only inputs get them(.|\n)*detach"):
            scaled(Tensor([1.0]), by=wrong)
    with no_grad():
        assert scaled(Tensor([1.0]), by=leaf(2.0)).tolist() == [2.0]
    assert scaled(leaf(1.0), by=Tensor([2.0])).tolist() == [2.0]


UNKEPT: list[Callable[..., Any]] = [
    lambda g, out, x: g * x,
    lambda g, out, x: 2 * x,
    lambda g, out, x: g * out,
    lambda g, out, x: x.sum(),
    lambda g, out, x: g * np.exp(x),
    lambda g, out, x: np.sum(x),
    lambda g, out, x: np.where(x, g, 0.0),
    lambda g, out, x: g * (x > 0),
    lambda g, out, x: x[0],
]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("rule", UNKEPT)
def test_a_rule_that_reads_what_was_not_kept_is_named(rule: Callable[..., Any], create_graph: bool) -> None:
    @primitive
    def hasty(x: Any, /) -> Any:
        return x * 1

    defvjp(hasty, rule, keep=())
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match=r"rule of hasty reads values that were not kept(.|\n)*keep="):
        hasty(x * 1).sum().backward(create_graph=create_graph)


def test_an_attribute_error_of_a_rule_stays_what_it_is() -> None:
    @primitive
    def faulty(x: Any, /) -> Any:
        return x * 1

    defvjp(faulty, lambda g, out, x: g.nothing)
    with pytest.raises(AttributeError, match="nothing"):
        faulty(leaf(1.0)).backward()


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: leaf(1.0, 2.0).backward(), RuntimeError, "only a single element"),
    (lambda: Tensor(1.0).backward(), RuntimeError, "nothing was recorded; set requires_grad=True"),
    (lambda: leaf(1.0).backward(Tensor([1.0, 2.0])), ValueError, r"gradient of shape \(2,\)"),
    (lambda: Tensor([1], requires_grad=True), TypeError, "only floating-point tensors have gradients"),
    (lambda: grad(Tensor(1.0), leaf(1.0)), RuntimeError, "output 0 does not require"),
    (lambda: grad(leaf(1.0) * 2, Tensor(1.0)), RuntimeError, "input 0 does not require"),
    (lambda: grad([leaf(1.0)], leaf(1.0), [None, None]), ValueError, "give one for each"),
    (lambda: Tensor([1.0]).register_hook(print), RuntimeError, "does not require gradients"),
    (lambda: defvjp(tt.add), ValueError, "one function per input"),
    (lambda: defvjp(tt.add, lambda g, out, x, y: g), ValueError, "1 functions were given for the inputs"),
    (lambda: defvjp(tt.exp, fused=print, composition=tt.exp), ValueError, "fused= is for fused primitives"),
    (lambda: gradcheck(lambda x: x, leaf(1.0)), ValueError, "need dtype=float64"),
    (lambda: gradcheck(lambda x: x, Tensor([1.0])), ValueError, "no input requires gradients"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), BAD, ids=[message[:25] for _, _, message in BAD])
def test_bad_input_is_explained(wrong: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        wrong()


def test_gradcheck_finds_a_wrong_rule() -> None:
    @primitive
    def wrong(x: Any, /) -> Any:
        return x * x

    defvjp(wrong, lambda g, out, x: g * x)
    with pytest.raises(AssertionError, match="by the rule and"):
        gradcheck(wrong, leaf(1.0, 2.0, dtype="float64"))


def test_no_grad_and_enable_grad_nest_and_decorate() -> None:
    x = leaf(1.0)
    assert is_grad_enabled()
    with no_grad():
        assert not is_grad_enabled()
        with enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        1 / 0  # noqa: B018
    assert (x * 2).requires_grad

    @no_grad()
    def quiet() -> Tensor:
        return x * 2

    assert not quiet().requires_grad

    @no_grad()
    def steps() -> Iterator[bool]:
        yield is_grad_enabled()
        yield (x * 2).requires_grad

    seen = [(step, is_grad_enabled()) for step in steps()]
    assert seen == [(False, True), (False, True)]


def test_no_grad_is_local_to_a_thread_and_to_a_task() -> None:
    found: list[bool] = []
    with no_grad():
        thread = threading.Thread(target=lambda: found.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]

    async def quiet(ready: asyncio.Event) -> bool:
        with no_grad():
            ready.set()
            await asyncio.sleep(0.01)
            return is_grad_enabled()

    async def loud(ready: asyncio.Event) -> bool:
        await ready.wait()
        return is_grad_enabled()

    async def both() -> list[bool]:
        ready = asyncio.Event()
        return list(await asyncio.gather(quiet(ready), loud(ready)))

    assert asyncio.run(both()) == [False, True]


def test_threads_differentiate_side_by_side() -> None:
    w = leaf(3.0)

    def slope(k: int, out: list[float]) -> None:
        out.append(grad((w * k).sum(), w).item())

    results: list[list[float]] = [[] for _ in range(8)]
    threads = [threading.Thread(target=slope, args=(k, results[k])) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[float(k)] for k in range(8)]


def test_detach_shares_values_and_ends_the_graph() -> None:
    x = leaf(1.0, 2.0)
    y = (x * 2).detach()
    assert not y.requires_grad
    assert y.is_leaf
    assert not (x * 2).is_leaf
    assert np.shares_memory(x.detach().data, x.data)


def test_enabling_and_disabling_leave_tensor_exactly_as_before() -> None:
    disable_autograd()
    before = dict(vars(Tensor))
    enable_autograd()
    enable_autograd()
    assert {name for name in before if vars(Tensor)[name] is not before[name]} == {
        "backward",
        "detach",
        "is_leaf",
        "register_hook",
        "zero_grad",
    }
    disable_autograd()
    disable_autograd()
    assert dict(vars(Tensor)) == before
    assert not (leaf(1.0) * 2).requires_grad
    with pytest.raises(AttributeError, match=r"enable_autograd\(\), which is off"):
        leaf(1.0).backward()


def test_what_was_recorded_can_be_differentiated_when_autograd_is_on_again() -> None:
    x = leaf(2.0)
    y = x * x
    disable_autograd()
    enable_autograd()
    y.backward()
    assert x.grad.tolist() == [4.0]


def test_detect_anomaly_names_the_operation_and_the_line() -> None:
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"log made a NaN(.|\n)*test_engine.py"),
        detect_anomaly(),
    ):
        Tensor([-1.0]).log()
    x = leaf(0.0)
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"backward pass of sqrt made a NaN(.|\n)*test_engine.py"),
        detect_anomaly(),
    ):
        (x.sqrt() * 0.0).sum().backward()
    assert tt.handlers()[-1].level == tt.RECORD  # the watch is gone
    with detect_anomaly(), np.errstate(all="ignore"):
        Tensor([float("nan")]).exp()  # it came in with the NaN


def test_the_drawing_shows_every_operation_once() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x * w
    graph = draw_graph((h + h.exp()).sum(), {"x": x, "w": w, "h": h})
    text = repr(graph)
    assert text.splitlines()[0] == "sum ()"
    assert text.count("multiply = h (2,)") == 2
    assert "(see line 3)" in text
    svg = graph.svg()
    assert svg.count("<rect") == 6
    assert "multiply = h (2,)" in svg


def test_the_first_loop_that_people_write_trains() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    same, memory = w, w.data
    for _ in range(100):
        loss = ((w - 3) ** 2).sum()
        loss.backward()
        with no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    assert w is same and w.data is memory and w.requires_grad
    np.testing.assert_allclose(w.data, 3.0, rtol=1e-6)
    with pytest.raises(RuntimeError, match="no_grad"):
        w -= 0.1


def test_a_recorded_tensor_is_added_to_without_losing_gradients() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y += x
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
