"""What is not fused runs as it was written, with the reason; and when a trace is made again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.acceleration import fuse
from tinytorch.acceleration.compiling import Compiled
from tinytorch.acceleration.fusing.fused import MOST_FORMS
from tinytorch.autograd import enable_autograd
from tinytorch.tensor import ShapeError, Tensor, array_of, unsqueeze

enable_autograd()
X = Tensor([[1.0, -2.0, 3.0], [0.5, 0.25, -1.0]])
OTHER = Tensor([1.0, 2.0, 3.0])


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs run as Python, because these tests are not about what Numba makes of them."""
    monkeypatch.setattr(Compiled, "__call__", lambda self, *args: self.function(*args))


def written_to(x: Any) -> Any:
    y = x * 2
    y[0] = 1.0
    return y


REFUSED: list[tuple[Callable[..., Any], str]] = [
    (lambda x: x @ x.T, "permute moves|permute is neither|matmul"),
    (lambda x: (x.sum(axis=0) @ x.max(axis=0)) * 2, "matmul is neither elementwise"),
    (lambda x: x * 2 if x.sum() > 0 else x, "reads the numbers"),
    (lambda x: x * x.max().item(), "reads the numbers"),
    (lambda x: x * np.asarray(x.data), "reads the numbers"),
    (lambda x: x * float(x.sum()), "reads the numbers"),
    (lambda x: x + OTHER, "not one of its arguments"),
    (lambda x: x + np.ones(3, np.float32), "array that is not one of its arguments"),
    (lambda x: x.cumsum(axis=0), "cumsum is neither"),
    (lambda x: x.reshape(3, 2) * 2, "moves or repeats"),
    (lambda x: unsqueeze(x[0], 1) * x[0], "getitem is neither"),
    (lambda x: (x * 2, x), "returns 2 values"),
    (lambda x: x, "returns its argument"),
    (lambda x: 3.0, "returns float"),
    (written_to, "setitem"),
]


@pytest.mark.parametrize(("function", "reason"), REFUSED)
def test_what_cannot_be_fused_runs_as_written_and_says_why(function: Callable[..., Any], reason: str) -> None:
    fused = fuse(function)
    found, wanted = fused(X), function(X)
    for ours, theirs in zip(
        found if isinstance(found, tuple) else [found], wanted if isinstance(wanted, tuple) else [wanted], strict=True
    ):
        assert np.array_equal(array_of(ours), array_of(theirs))
    words = fused.why()
    assert "0 calls fused, 1 not" in words
    assert any(part in words for part in reason.split("|")), words
    with pytest.raises(ValueError, match="is not fused"):
        fused.trace(X)


def test_an_outer_product_of_itself_is_refused() -> None:
    fused = fuse(lambda x: unsqueeze(x, 1) * x)
    assert fused(OTHER).shape == (3, 3)
    assert "broadcast against itself" in fused.why()


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((2.0,), "no tensor"),
        ((np.ones(2),), "is a ndarray"),
        ((Tensor(np.ones((0, 2))),), "no elements"),
        ((Tensor(np.ones(2), "float16"),), "of float16"),
        ((OTHER, [1.0]), "is a list"),
    ],
)
def test_arguments_that_are_not_fused(args: tuple[Any, ...], reason: str) -> None:
    def twice(x: Any, y: Any = None) -> Any:
        return x * 2

    fused = fuse(twice)
    assert np.array_equal(array_of(fused(*args)), array_of(twice(*args)))
    assert reason in fused.why()


def test_errors_are_those_of_the_function() -> None:
    fused = fuse(lambda x, y: x + y)
    with pytest.raises(ShapeError, match=r"add: \(2, 3\) and \(2,\) cannot be broadcast"):
        fused(X, Tensor([1.0, 2.0]))

    def fails(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fuse(fails)(X)


def test_numbers_among_the_arguments_and_around_the_function_are_looked_at_again() -> None:
    scale = 2.0

    def scaled(x: Any, factor: float = 1.0) -> Any:
        return x * factor * scale

    fused = fuse(scaled)
    assert fused(OTHER).tolist() == [2.0, 4.0, 6.0]
    assert fused(OTHER, 3.0).tolist() == [6.0, 12.0, 18.0]
    assert fused(OTHER, factor=0.5).tolist() == [1.0, 2.0, 3.0]
    scale = 1.0
    assert fused(OTHER, 3.0).tolist() == [3.0, 6.0, 9.0]
    assert "4 calls fused, 0 not" in fused.why()


def test_a_trace_holds_for_all_sizes_until_sizes_are_read() -> None:
    traced: list[tuple[int, ...]] = []

    def free(x: Any) -> Any:
        traced.append(())
        return x / x.sum(axis=-1, keepdims=True)

    def reading(x: Any) -> Any:
        return x.sum(axis=-1) / x.shape[-1]

    fused = fuse(free)
    for n in (2, 3, 40):
        fused(Tensor(np.ones((n, n + 1))))
    assert len(traced) == 1
    fused = fuse(reading)
    for n in (2, 3, 40, 3):
        assert np.allclose(fused(Tensor(np.ones((5, n)))).data, 1.0)
    assert "4 calls fused" in fused.why()


def test_numbers_that_always_change_are_given_up_on() -> None:
    fused = fuse(lambda x, y: x * y)
    for number in range(MOST_FORMS + 2):
        assert fused(OTHER, float(number)).data[0] == number
    assert f"{MOST_FORMS} calls fused, 2 not" in fused.why()
    assert "pass numbers as tensors" in fused.why()


def test_equal_sizes_and_ones_have_traces_of_their_own() -> None:
    fused = fuse(lambda x, y: x * y)
    for first, second in [((3, 3), (3,)), ((2, 3), (3,)), ((1, 3), (2, 1)), ((1, 1), (1,)), ((), (4,))]:
        x, y = Tensor(np.arange(np.prod(first)).reshape(first)), Tensor(np.arange(np.prod(second)).reshape(second) + 1)
        assert np.array_equal(fused(x, y).data, (x * y).data)
    assert "5 calls fused, 0 not" in fused.why()


def test_a_fused_function_within_another_becomes_part_of_it() -> None:
    inner = fuse(lambda x: x * 2)
    outer = fuse(lambda x: inner(x) + 1)
    assert outer(OTHER).tolist() == [3.0, 5.0, 7.0]
    assert "multiply" in repr(outer.trace(OTHER))
