"""Fused functions, compiled, against the same functions as they were written."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.acceleration import Fused, fuse
from tinytorch.autograd import enable_autograd, gradcheck, gradgradcheck, no_grad
from tinytorch.layers import functional as F
from tinytorch.tensor import OBSERVE, Tensor, handling, maximum, tanh, where

enable_autograd()


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + tanh(0.7978845608 * (x + 0.044715 * x**3)))


def shifted_gelu(x: Any, b: Any) -> Any:
    return F.gelu(x + b)


def exact_gelu(x: Any) -> Any:
    return F.gelu(x, approximate="none")


def mean_square(x: Any, y: Any) -> Any:
    return ((x - y) ** 2).mean()


def column_sums(x: Any) -> Any:
    return (x * x).sum(axis=0)


def batch_norm(x: Any, w: Any) -> Any:
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) * w


def chosen(x: Any, y: Any) -> Any:
    return where(x > y, x * y, maximum(x, 0.3) + y.clip(-0.5, 0.5))


FUNCTIONS: list[tuple[Callable[..., Any], list[str]]] = [
    (gelu, ["ab"]),
    (shifted_gelu, ["ab", "b"]),
    (exact_gelu, ["a"]),
    (F.softmax, ["ab"]),
    (F.layer_norm, ["ab", "b", "b"]),
    (lambda x: x.logsumexp(axis=-1), ["ab"]),
    (mean_square, ["ab", "ab"]),
    (column_sums, ["ab"]),
    (batch_norm, ["ab", "b"]),
    (chosen, ["ab", "a1"]),
]
FUSED = {function: fuse(function) for function, _ in FUNCTIONS}


def tensors(shapes: list[str], sizes: dict[str, int], dtype: str, seed: int = 0) -> list[Tensor]:
    generator = np.random.default_rng(seed)
    return [
        Tensor(generator.standard_normal([sizes[axis] for axis in shape]), dtype, requires_grad=True)
        for shape in shapes
    ]


def gradients(function: Callable[..., Any], inputs: list[Tensor], direction: Any) -> list[Any]:
    for x in inputs:
        x.grad = None
    (function(*inputs) * direction).sum().backward()
    return [x.grad.data for x in inputs]  # type: ignore[union-attr]


def close(x: Any, y: Any, units: float) -> bool:
    """Within so many units in the last place of the largest number."""
    return bool(np.abs(x - y).max() <= units * np.finfo(y.dtype).eps * max(1.0, np.abs(y).max()))


@pytest.mark.parametrize(("function", "shapes"), FUNCTIONS, ids=lambda each: getattr(each, "__name__", ""))
@given(rows=st.integers(5, 12), columns=st.integers(10, 70), dtype=st.sampled_from(["float32", "float64"]))
@settings(max_examples=8, deadline=None)
def test_values_and_gradients_are_those_of_the_function_as_written(
    function: Callable[..., Any], shapes: list[str], rows: int, columns: int, dtype: str
) -> None:
    fused = FUSED[function]
    inputs = tensors(shapes, {"a": rows, "b": columns, "1": 1}, dtype, rows * columns)
    with no_grad():
        wanted, found = function(*inputs), fused(*inputs)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    assert close(found.data, wanted.data, 16)
    direction = Tensor(np.random.default_rng(1).standard_normal(wanted.shape), dtype)
    for ours, theirs in zip(gradients(fused, inputs, direction), gradients(function, inputs, direction), strict=True):
        assert ours.shape == theirs.shape
        assert close(ours, theirs, 64)
    assert "0 not" in fused.why()


@pytest.mark.parametrize(("function", "shapes"), FUNCTIONS[1:6], ids=lambda each: getattr(each, "__name__", ""))
def test_gradients_equal_finite_differences(function: Callable[..., Any], shapes: list[str]) -> None:
    assert gradcheck(FUSED[function], tensors(shapes, {"a": 3, "b": 4}, "float64"))


def test_second_derivatives_go_through_the_function_as_written() -> None:
    assert gradgradcheck(FUSED[gelu], tensors(["a"], {"a": 3}, "float64"))


def test_an_input_that_the_result_does_not_depend_on_has_no_gradient() -> None:
    for function in (lambda x, y: x * x, lambda x, y: (x * 2).sum()):
        x, y = tensors(["ab", "b"], {"a": 2, "b": 3}, "float32")
        fused = fuse(function)
        fused(x, y).sum().backward()
        assert "1 call fused" in fused.why()
        assert x.grad is not None
        assert y.grad is None  # and not zeros, with which an optimizer would move it
    (x,) = tensors(["a"], {"a": 3}, "float32")
    fused = fuse(lambda x: where(x > 0, 1.0, 2.0))
    (fused(x) + x).sum().backward()
    assert np.array_equal(x.grad.data, np.ones(3))


def test_work_is_shared_and_the_result_is_the_same_each_time() -> None:
    x, b = tensors(["ab", "b"], {"a": 700, "b": 257}, "float32")
    fused, direction = FUSED[shifted_gelu], Tensor(np.ones((700, 257)))
    assert close(fused(x, b).data, shifted_gelu(x, b).data, 16)
    first = gradients(fused, [x, b], direction)
    for _ in range(3):
        for ours, again in zip(first, gradients(fused, [x, b], direction), strict=True):
            assert np.array_equal(ours, again)


def test_threads_compute_at_once() -> None:
    x = tensors(["ab"], {"a": 300, "b": 300}, "float32")[0].detach()
    wanted = FUSED[gelu](x).data
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(FUSED[gelu](x).data)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(each, wanted) for each in found)


def test_other_orders_in_memory_give_the_same() -> None:
    x = tensors(["ab"], {"a": 6, "b": 8}, "float32")[0].detach()
    turned = Tensor(np.asfortranarray(x.data))
    strided = Tensor(np.repeat(x.data, 2, axis=1))
    assert np.array_equal(FUSED[gelu](turned).data, FUSED[gelu](x).data)
    assert np.array_equal(FUSED[gelu](Tensor(strided.data[:, ::2])).data, FUSED[gelu](x).data)


def test_infinity_and_nan_come_out_as_written() -> None:
    x = Tensor([[np.inf, -np.inf, np.nan, 0.0, -0.0, 200.0]])
    with np.errstate(all="ignore"):
        for function in (lambda x: np.exp(x), lambda x: np.tanh(x), lambda x: x.max(axis=-1), lambda x: np.log(x)):
            assert np.array_equal(fuse(function)(x).data, function(x).data, equal_nan=True)


def test_handlers_see_one_operation() -> None:
    class Names:
        level = OBSERVE

        def __init__(self) -> None:
            self.seen: list[str] = []

        def __call__(self, next: Any, primitive: Any, args: Any, params: Any) -> Any:
            self.seen.append(primitive.name)
            return next(primitive, args, params)

    x = Tensor([[1.0, 2.0]], requires_grad=True)
    with handling(Names()) as names:
        out = FUSED[gelu](x)
    assert names.seen == ["gelu"]  # type: ignore[attr-defined]
    assert out.requires_grad
    with no_grad():
        assert not FUSED[gelu](x).requires_grad


def test_nothing_of_a_gradient_shares_memory() -> None:
    x, y = tensors(["ab", "ab"], {"a": 2, "b": 3}, "float32")
    g = Tensor(np.ones((2, 3)))
    fuse(lambda x, y: x + y)(x, y).backward(g)
    arrays = [x.grad.data, y.grad.data, g.data]  # type: ignore[union-attr]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_a_method_is_fused() -> None:
    class Half:
        @fuse
        def forward(self: Any, x: Any) -> Any:
            return x * 0.5

    half = Half()
    assert half.forward(Tensor([4.0])).item() == 2
    assert "an argument is a Half" in Half.forward.why()


def test_decorated_functions_keep_their_name_and_words() -> None:
    fused = fuse(gelu)
    assert fused.__name__ == "gelu"
    assert fuse(fused) is fused
    assert isinstance(fused, Fused)
    with pytest.raises(TypeError, match="a int was given"):
        fuse(3)  # type: ignore[arg-type]
