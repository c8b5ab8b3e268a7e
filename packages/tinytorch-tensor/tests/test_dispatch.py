"""Every operation goes through dispatch, and handlers stand around it in the order of their levels."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.tensor import KERNEL, OBSERVE, RECORD, Primitive, Tensor, handling, primitive


class Spy:
    def __init__(self, level: int, name: str = "", log: list[str] | None = None) -> None:
        self.level, self.name = level, name
        self.log: list[str] = [] if log is None else log

    def __call__(self, next: Any, primitive: Primitive, args: Any, params: Any) -> Any:
        self.log.append(f"{self.name}{primitive.name}")
        return next(primitive, args, params)


def test_a_handler_sees_every_operation_and_none_after_it() -> None:
    before = tt.handlers()
    spy = Spy(OBSERVE)
    x = Tensor([1.0, 2.0])
    with handling(spy):
        ((x + 1).exp() @ x).reshape(1)[0].sum()
    x + 1
    assert spy.log == ["add", "exp", "matmul", "reshape", "getitem", "sum"]
    assert tt.handlers() == before


@pytest.mark.parametrize("order", list(permutations([KERNEL, RECORD, OBSERVE])))
def test_levels_decide_the_order_whatever_the_order_of_installing(order: tuple[int, ...]) -> None:
    log: list[str] = []
    spies = [Spy(level, f"{level}:", log) for level in order]
    for spy in spies:
        tt.push(spy)
    try:
        Tensor([1]) + 1
    finally:
        for spy in spies:
            tt.pop(spy)
    assert log == [f"{OBSERVE}:add", f"{RECORD}:add", f"{KERNEL}:add"]


def test_a_kernel_handler_may_answer_itself() -> None:
    class Wrong:
        level = KERNEL

        def __call__(self, next: Any, primitive: Primitive, args: Any, params: Any) -> Any:
            return Tensor([42]) if primitive is tt.add else next(primitive, args, params)

    with handling(Wrong()):
        assert (Tensor([1]) + Tensor([2])).tolist() == [42]
        assert (Tensor([1]) * Tensor([2])).tolist() == [2]
    assert (Tensor([1]) + Tensor([2])).tolist() == [3]


def test_an_exception_passes_through_and_leaves_nothing_installed() -> None:
    before = tt.handlers()
    with pytest.raises(ValueError, match="inner sizes"), handling(Spy(OBSERVE)):
        tt.ones(2, 3) @ tt.ones(2, 3)
    assert tt.handlers() == before


def test_installing_twice_and_removing_what_is_not_there_are_errors() -> None:
    spy = Spy(OBSERVE)
    with handling(spy), pytest.raises(ValueError, match="installed already"):
        tt.push(spy)
    with pytest.raises(ValueError, match="not installed"):
        tt.pop(spy)


def test_installing_while_other_threads_compute_disturbs_nobody() -> None:
    before, failures, done = tt.handlers(), [], threading.Event()

    def compute() -> None:
        x = Tensor([1.0])
        try:
            while not done.is_set():
                assert (x + x).item() == 2.0
        except Exception as error:
            failures.append(error)

    def install() -> None:
        try:
            for _ in range(1000):
                with handling(Spy(OBSERVE)):
                    pass
        except Exception as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        computing = [threading.Thread(target=compute) for _ in range(2)]
        installing = [threading.Thread(target=install) for _ in range(3)]
        for thread in (*computing, *installing):
            thread.start()
        for thread in installing:
            thread.join()
        done.set()
        for thread in computing:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    assert tt.handlers() == before


def test_what_is_installed_is_seen_by_other_threads() -> None:
    spy = Spy(OBSERVE)
    with handling(spy):
        thread = threading.Thread(target=lambda: Tensor([1]) + 1)
        thread.start()
        thread.join()
    assert spy.log == ["add"]


def test_a_fused_primitive_hands_what_it_saved_to_handlers_alone() -> None:
    @primitive(fused=True)
    def doubled(x: Any, /) -> tuple[Any, str]:
        return x * 2, "kept"

    seen: list[Any] = []

    class Reader:
        level = RECORD

        def __call__(self, next: Any, primitive: Primitive, args: Any, params: Any) -> Any:
            result = next(primitive, args, params)
            seen.append(result[1])
            return result

    with handling(Reader()):
        out = doubled(Tensor([1.0]))
    assert out.tolist() == [2.0]
    assert seen == ["kept"]
    assert doubled.lift(np.ones(1)).tolist() == [2.0]


def test_lift_answers_in_kind() -> None:
    assert isinstance(tt.exp.lift(np.zeros(2)), np.ndarray)
    assert isinstance(tt.exp.lift(Tensor([0.0])), Tensor)


def test_arguments_are_bound_as_the_forward_names_them() -> None:
    x = Tensor([[1.0, 2.0]])
    assert tt.sum(x, 0).shape == tt.sum(x, axis=0).shape == (2,)
    for wrong in (lambda: tt.sum(), lambda: tt.sum(x, 0, axis=0), lambda: tt.add(x), lambda: tt.exp(x, x)):
        with pytest.raises(TypeError, match="the form is"):
            wrong()
    with pytest.raises(TypeError, match=r"add: 'y' is an input; inputs are positional-only: add\(x, y\)"):
        tt.add(x, y=1)
    assert repr(tt.sum) == "<primitive sum(x, axis, keepdims)>"


def test_every_primitive_is_in_the_registry_and_says_what_it_does() -> None:
    own = {name: p for name, p in tt.registry.items() if name.startswith("tinytorch.tensor.ops")}
    assert len(own) > 60
    for declared in own.values():
        assert declared.__doc__, declared.name
    exported: Callable[..., Any] = tt.exp
    assert exported in own.values()


def test_a_fused_forward_that_forgets_the_pair_is_named() -> None:
    @tt.primitive(fused=True)
    def lonely(x: Any, /) -> Any:
        return x * 2

    for size in (1, 2, 3):
        with pytest.raises(TypeError, match=r"lonely: its forward returned a ndarray; .* returns \(out, saved\)"):
            lonely(Tensor([1.0] * size))


@pytest.mark.parametrize("out", [2.0, None, (np.ones(2), "kept")], ids=["number", "None", "pair"])
@pytest.mark.parametrize("fused", [False, True])
def test_a_forward_that_gives_no_array_is_named(out: Any, fused: bool) -> None:
    def odd(x: Any, /) -> Any:
        return (out, None) if fused else out

    with pytest.raises(TypeError, match=f"odd: its forward returned a {type(out).__name__}; a forward returns one arr"):
        tt.primitive(fused=fused)(odd)(Tensor([1.0]))


def test_a_handler_without_a_level_is_refused() -> None:
    before = tt.handlers()
    with pytest.raises(TypeError, match="has no level"):
        tt.push(lambda next, primitive, args, params: next(primitive, args, params))  # type: ignore[arg-type]
    assert tt.handlers() == before


def test_an_error_without_an_explanation_says_what_was_computed() -> None:
    @tt.primitive
    def hypotenuse(x: Any, y: Any, /) -> Any:
        return np.sqrt(x * x + y * y)

    with pytest.raises(ValueError, match="broadcast") as caught:
        hypotenuse(Tensor([1.0, 2.0]), [1.0, 2.0, 3.0])
    assert caught.value.__notes__ == ["while computing hypotenuse((2,) float32, [1.0, 2.0, 3.0])"]


def test_none_is_an_input_only_where_it_is_the_default() -> None:
    @tt.primitive
    def shifted(x: Any, by: Any = None, /) -> Any:
        return x if by is None else x + by

    assert shifted(Tensor([1.0]), None).tolist() == [1.0]
    for operation, args in ((shifted, (None, 1)), (tt.exp, (None,)), (tt.add, (1, None)), (tt.where, (True, None, 1))):
        with pytest.raises(TypeError, match="is None; it must be a tensor, an array or a number"):
            operation(*args)


def test_a_primitive_is_the_same_after_copies_and_pickles() -> None:
    for operation in (tt.add, tt.sum, tt.matmul, tt.where):
        assert copy.deepcopy(operation) is copy.copy(operation) is operation
        assert pickle.loads(pickle.dumps(operation)) is operation
