"""The seam for functions on arrays that stand for others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.tensor import (
    KERNEL,
    OBSERVE,
    Kernels,
    Tensor,
    exp,
    handling,
    kernels,
    multiply,
    primitive,
    substitute,
)


def positive_only(x: Any) -> Any:
    return np.full_like(x, 7) if x.min() > 0 else NotImplemented


def test_a_kernel_stands_for_a_forward_and_gives_way_where_it_does_not_serve() -> None:
    with handling(Kernels({exp: positive_only})):
        assert Tensor([1.0]).exp().item() == 7
        assert Tensor([0.0]).exp().item() == 1
        assert (Tensor([2.0]) * 3).item() == 6
    assert Tensor([0.0]).exp().item() == 1


def test_results_have_the_dtype_that_the_forward_would_have_given() -> None:
    with handling(Kernels({multiply: lambda x, y: np.multiply(x, y, dtype=np.float64)})):
        assert (Tensor([2.0]) * Tensor([3.0])).dtype == np.float32


def test_a_fused_kernel_returns_what_is_saved_too() -> None:
    @primitive(fused=True)
    def halve(x: Any, /) -> Any:
        return x / 2, None

    with handling(Kernels({halve: lambda x: (x * 0, "saved")})) as handler:
        assert halve(Tensor([2.0])).item() == 0
        assert handler(lambda *_: None, halve, (Tensor([2.0]),), {})[1] == "saved"


def test_lowered_functions_are_made_of_the_kernels_installed_when_they_are_made() -> None:
    with handling(Kernels({exp: positive_only})):
        lowered = exp.lower()
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    assert lowered(one) == 7 and lowered(zero) == 1
    assert exp.lower()(one) == np.exp(one)


def test_the_outer_of_two_is_asked_first() -> None:
    def usual() -> str:
        return "usual"

    outer, inner = Kernels({usual: lambda: NotImplemented}), Kernels({usual: lambda: "inner"})
    with handling(inner), handling(outer):
        assert substitute(usual, usual)() == "inner"
        with handling(Kernels({usual: lambda: "outermost"})):
            assert substitute(usual, usual)() == "outermost"
    assert substitute(usual, usual) is usual


def test_only_handlers_with_kernels_are_listed_and_the_list_stays_while_they_do() -> None:
    class Observer:
        level = OBSERVE

        def __call__(self, next: Any, primitive: Any, args: Any, params: Any) -> Any:
            return next(primitive, args, params)

    assert kernels() == () and Kernels.level == KERNEL
    with handling(Kernels({})) as handler:
        found = kernels()
        with handling(Observer()):
            assert kernels() is found
        assert found == (handler,)
    assert kernels() == ()


def test_errors_are_explained_as_those_of_forwards() -> None:
    def refuse(x: Any) -> Any:
        raise ValueError("too hard")

    with handling(Kernels({exp: refuse})), pytest.raises(ValueError, match="too hard") as caught:
        Tensor([1.0]).exp()
    assert caught.value.__notes__ == ["while computing exp((1,) float32)"]
