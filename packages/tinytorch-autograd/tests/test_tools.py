"""The public tools: hooks, gradcheck, detect_anomaly, and what they say of wrong use."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch.autograd
import tinytorch.tensor as tt
from tinytorch.autograd import (
    GraphError,
    defvjp,
    detect_anomaly,
    disable_autograd,
    grad,
    gradcheck,
    gradgradcheck,
    rules,
)
from tinytorch.tensor import Tensor, primitive


def leaf(*values: float, dtype: Any = "float64") -> Tensor:
    return Tensor(list(values), dtype, requires_grad=True)


# Hooks


def test_a_handle_removes_its_own_hook_once() -> None:
    x = leaf(1.0)

    def double(g: Tensor) -> Tensor:
        return g * 2

    x.register_hook(double)
    x.register_hook(lambda g: g + 1)
    last = x.register_hook(double)
    last.remove()
    last.remove()
    x.backward()
    assert x.grad.tolist() == [3.0]


def test_what_a_hook_keeps_stays_as_it_was() -> None:
    x, seen = leaf(1.0, 2.0), []
    x.register_hook(seen.append)
    for _ in range(3):
        (x * 1 + x * 1).sum().backward()
    assert [g.tolist() for g in seen] == [[2.0, 2.0]] * 3


def test_what_a_hook_returns_stays_its_own() -> None:
    x, constant = leaf(1.0, 2.0), Tensor([5.0, 5.0], "float64")
    x.register_hook(lambda g: constant)
    for _ in range(3):
        (x * 1 + x * 1).sum().backward()
    assert constant.tolist() == [5.0, 5.0]
    assert x.grad.tolist() == [15.0, 15.0]


def test_a_hook_that_writes_into_its_gradient_reaches_no_other_branch() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x * 1

    def silence(g: Tensor) -> None:
        g.data[:] = 0.0

    h.register_hook(silence)
    (h + y).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    assert y.grad.tolist() == [1.0, 1.0]


def test_wrong_hooks_are_named() -> None:
    x = leaf(1.0)
    with pytest.raises(TypeError, match="the hook is a str; it is called"):
        x.register_hook("clip")
    x.register_hook(lambda g: g.data)
    with pytest.raises(TypeError, match=r"gradient of shape \(1,\) the hook returned a ndarray"):
        x.backward()


# gradcheck

generator = np.random.default_rng(0)
REFUSED: list[tuple[str, Callable[..., Any], Callable[[], Any], str]] = [
    ("integers", lambda x: x.argmax(), lambda: leaf(1.0), "the outputs are int64; only floating-point"),
    ("nothing", lambda x: (), lambda: leaf(1.0), "the outputs are none"),
    ("float32", lambda x: x.astype("float32"), lambda: leaf(1.0), "output 0 is float32; finite differences need"),
    ("noise", lambda x: x * generator.random(), lambda: leaf(1.0), "output 0 differs between two calls"),
    ("one tensor twice", lambda x, y: x * y, lambda: [leaf(1.0)] * 2, "input 1 was given twice"),
]


@pytest.mark.parametrize(("function", "inputs", "message"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_gradcheck_refuses_what_it_cannot_check(
    function: Callable[..., Any], inputs: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        gradcheck(function, inputs())


def test_second_derivatives_that_a_rule_loses_are_missed() -> None:
    @primitive
    def square(x: Any, /) -> Any:
        return x * x

    defvjp(square, lambda g, out, x: g.data * 2 * x.data if isinstance(g, Tensor) else g * 2 * x)
    gradcheck(square, leaf(1.0))
    with pytest.raises(AssertionError, match=r"is 0 by the rule and 0\.25"):
        gradgradcheck(lambda x: square(x).sum(), leaf(1.0, 2.0))


def test_second_derivatives_of_what_was_not_recorded_are_not_called_right() -> None:
    with pytest.raises(ValueError, match="no output requires gradients"):
        gradgradcheck(lambda x: x.detach() * 2, leaf(1.0))


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_checks_say_what_they_need(check: Callable[..., bool]) -> None:
    with pytest.raises(TypeError, match="the function returned a ndarray"):
        check(lambda x: x.data, leaf(1.0))
    with pytest.raises(ValueError, match=f"{check.__name__}: input 1 is float32"):
        check(lambda x, y: x * y, [leaf(1.0), leaf(1.0, dtype="float32")])
    disable_autograd()
    with pytest.raises(RuntimeError, match=r"call enable_autograd\(\) first"):
        check(lambda x: x * 2, leaf(1.0))


# detect_anomaly


@pytest.fixture
def quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_nan_of_a_single_number_is_found(quiet: None, dtype: str) -> None:
    x = Tensor(0.0, dtype, requires_grad=True)
    with pytest.raises(FloatingPointError, match="backward pass of sqrt"), detect_anomaly():
        (x.sqrt() * 0.0).backward()


def test_a_nan_that_came_in_is_blamed_on_no_operation(quiet: None) -> None:
    x, y = leaf(1.0), leaf(float("nan"))
    with detect_anomaly():
        x.exp().backward(Tensor([np.nan]))
        y.exp().backward()
        tt.exp([np.nan])
    assert np.isnan(x.grad.item())
    assert np.isnan(y.grad.item())


def test_the_nan_of_a_rule_that_keeps_no_inputs_is_found(quiet: None) -> None:
    x = leaf(0.0)
    with pytest.raises(FloatingPointError, match="backward pass of sqrt made a NaN"), detect_anomaly():
        ((x * 1).sqrt() * 0.0).sum().backward()


def test_watches_nest_and_end_with_their_block(quiet: None) -> None:
    with detect_anomaly():
        with pytest.raises(FloatingPointError), detect_anomaly():
            leaf(-1.0).log()
        with pytest.raises(FloatingPointError, match="log made a NaN"):
            leaf(-1.0).log()
    assert np.isnan(leaf(-1.0).log().item())


def test_the_line_is_found_in_a_folder_called_tinytorch(quiet: None, tmp_path: Path) -> None:
    script = tmp_path / "tinytorch" / "mine.py"
    script.parent.mkdir()
    script.write_text("def compute(x):\n    return x.sqrt() * 0.0\n", encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), names)
    x = leaf(0.0)
    with pytest.raises(FloatingPointError, match=r"mine\.py:2: return x\.sqrt"), detect_anomaly():
        grad(names["compute"](x), x)


# What errors hold

WRONG: list[Callable[[Tensor], Any]] = [
    lambda x: (x * 2).backward(),
    lambda x: x.backward(np.ones(7)),
    lambda x: grad((x * 2).sum(), leaf(1.0)),
    lambda x: [y.backward() for y in [(x * x).sum()] * 2],
    lambda x: x.register_hook("clip"),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_caught_error_keeps_no_tensor_alive(wrong: Callable[[Tensor], Any]) -> None:
    x = leaf(1.0, 2.0)
    alive = weakref.ref(x)
    gc.disable()
    try:
        wrong(x)
    except (GraphError, ValueError, TypeError):
        del x
    assert alive() is None
    gc.enable()


# Words of PyTorch


@pytest.mark.parametrize("word", ["inference_mode", "set_grad_enabled"])
def test_words_of_pytorch_are_answered(word: str) -> None:
    with pytest.raises(ImportError, match=f"has no {word}; write `with no_grad"):
        exec(f"from tinytorch.autograd import {word}")
    assert not hasattr(tinytorch.autograd, "nothing")


# Several hooks, promises, threads


def test_outputs_of_integers_are_left_out_of_gradcheck() -> None:
    assert gradcheck(lambda x: (x * 2, x.astype("int64")), leaf(1.0))


def test_a_hook_that_removes_itself_does_not_skip_the_next() -> None:
    x, seen = leaf(1.0), []
    first = x.register_hook(lambda g: first.remove())
    x.register_hook(lambda g: seen.append(g.item()))
    x.backward()
    assert seen == [1.0]


def test_a_fused_rule_promises_new_arrays_and_another_only_when_it_says_so() -> None:
    @primitive(fused=True)
    def fused(x: Any, /) -> Any:
        return x * 2, None

    @primitive
    def simple(x: Any, /) -> Any:
        return x * 2

    defvjp(fused, fused=lambda g, out, saved, needs, x: (g * 2,), composition=lambda x: x * 2)
    for new in (False, True):
        defvjp(simple, lambda g, out, x: g * 2, new=new)
        assert (rules[fused].new, rules[simple].new) == (True, new)


def test_a_backward_pass_of_another_thread_is_not_watched(quiet: None) -> None:
    x, failures = leaf(0.0), []

    def work() -> None:
        try:
            (x.sqrt() * 0.0).sum().backward()
        except FloatingPointError as error:
            failures.append(error)

    with detect_anomaly():
        thread = threading.Thread(target=lambda: np.errstate(all="ignore")(work)())
        thread.start()
        thread.join()
    assert failures == []
    assert np.isnan(x.grad.item())
