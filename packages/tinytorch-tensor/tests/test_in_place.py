"""`x += y` changes x in its memory, unless a handler recorded the result."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.tensor import RECORD, DTypeError, ShapeError, Tensor, handling


class Recorder:
    """Remembers how tensors were made, as autograd does."""

    level = RECORD

    def __call__(self, next: Any, primitive: Any, args: Any, params: Any) -> Any:
        out = next(primitive, args, params)
        if any(isinstance(arg, Tensor) and arg.requires_grad for arg in args):
            out.node, out.requires_grad = primitive.name, True
        return out


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (operator.iadd, 9.0), (operator.isub, 5.0), (operator.imul, 14.0), (operator.itruediv, 3.5),
        (operator.ifloordiv, 3.0), (operator.imod, 1.0), (operator.ipow, 49.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("other", [2.0, np.float32(2), np.array([2.0]), Tensor([2.0])])
def test_arithmetic_in_place_keeps_the_tensor_and_its_memory(update: Any, expected: float, other: Any) -> None:
    x = Tensor([7.0])
    array, moment = x.data, tt.clock()
    assert update(x, other) is x
    assert x.data is array and x.tolist() == [expected]
    assert tt.written_since(array, moment)


def test_booleans_and_matrices_are_changed_in_place() -> None:
    mask, square = Tensor([True, False]), tt.eye(2) * 2
    same, memory = mask, square.data
    mask |= Tensor([False, True])
    mask &= [True, False]
    mask ^= [True, True]
    square @= square
    assert mask is same and mask.tolist() == [False, True]
    assert square.data is memory and square.tolist() == [[4.0, 0.0], [0.0, 4.0]]


def test_a_view_changed_in_place_changes_what_it_is_a_view_of() -> None:
    x = tt.zeros(2, 2)
    row = x[0]
    row += 1
    assert x.tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_a_leaf_whose_gradient_is_recorded_is_refused_in_words() -> None:
    x = Tensor([1.0], requires_grad=True)
    with handling(Recorder()), pytest.raises(RuntimeError, match=r"subtract: .* write `with no_grad\(\):` around it"):
        x -= 1
    assert x.tolist() == [1.0]


def test_a_recorded_result_is_a_new_tensor() -> None:
    x, total = Tensor([1.0], requires_grad=True), Tensor([0.0])
    before = total
    with handling(Recorder()):
        total += x
        first = total
        total *= 2
    assert before.tolist() == [0.0] and first.tolist() == [1.0] and total.tolist() == [2.0]


def test_what_does_not_fit_in_place_is_refused() -> None:
    x, n = Tensor([1.0]), Tensor([1, 2])
    with pytest.raises(ShapeError, match=r"add: \(3,\) does not fit \(1,\) in place; write x = x \+ y"):
        x += [1.0, 2.0, 3.0]
    with pytest.raises(DTypeError, match="divide: float32 does not fit int64 in place"):
        n /= 2
    with pytest.raises(ValueError, match="read-only view"):
        view = tt.zeros(1).broadcast_to((2,))
        view += 1
    assert x.tolist() == [1.0] and n.tolist() == [1, 2]
