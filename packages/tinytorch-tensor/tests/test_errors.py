"""Bad input gets an error of the right type that says what was seen, the rule, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.exceptions import AxisError

import tinytorch.tensor as tt
from tinytorch.tensor import Tensor

x: Any = tt.ones(2, 3)
TABLE: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Tensor("text"), TypeError, "str became an array of dtype"),
    (lambda: Tensor([object()]), TypeError, "holds numbers or booleans"),
    (lambda: Tensor([[1, 2], [3]]), ValueError, "ragged lists"),
    (lambda: Tensor(np.array(["2020-01-01"], "M8[D]")), TypeError, "datetime64"),
    (lambda: Tensor([1], dtype="complex64"), TypeError, "complex64 is not a number"),
    (lambda: Tensor([1, 2], requires_grad=True), TypeError, "only floating-point tensors have gradients"),
    (lambda: x + tt.ones(2), ValueError, r"add: \(2, 3\) and \(2,\) cannot be broadcast"),
    (lambda: x > tt.ones(2), ValueError, "greater: .* cannot be broadcast"),
    (lambda: tt.where(x > 0, x, tt.ones(4)), ValueError, "where: .* cannot be broadcast"),
    (lambda: x & x, TypeError, "bitwise_and: not defined for float32 and float32"),
    (lambda: x + "a", TypeError, "str became"),
    (lambda: x @ x, ValueError, r"matmul: \(2, 3\) @ \(2, 3\): inner sizes 3 and 2 differ; transpose one side"),
    (lambda: x @ 2, ValueError, "a scalar has no rows"),
    (lambda: tt.ones(2, 2, 3) @ tt.ones(3, 3, 2), ValueError, "before the last two cannot be broadcast"),
    (lambda: x.sum(axis=2), AxisError, r"sum: axis 2 is out of range for shape \(2, 3\)"),
    (lambda: x.sum(axis=1.5), TypeError, "sum: axis 1.5 is a float"),
    (lambda: x.sum(axis=x), TypeError, "is a Tensor"),
    (lambda: Tensor(1.0).sum(axis=1), AxisError, "has no axes"),
    (lambda: tt.zeros(0).max(), ValueError, "no elements have no max"),
    (lambda: tt.zeros(0, 3).argmax(0), ValueError, "no elements have no argmax"),
    (lambda: x.topk(4), ValueError, "k = 4 of 3"),
    (lambda: x.reshape(4), ValueError, "reshape: .* has 6 elements"),
    (lambda: x.reshape(4, -1), ValueError, "a multiple of 4"),
    (lambda: x.reshape(2.0, 3), TypeError, "2.0 in shape"),
    (lambda: x.reshape("a"), TypeError, "'a' in shape"),
    (lambda: x.permute(0, 0), ValueError, "every axis from 0 to 1"),
    (lambda: x.transpose(0, 2), AxisError, "transpose: axis 2"),
    (lambda: x.squeeze(0), ValueError, "longer than 1"),
    (lambda: x.unsqueeze(4), AxisError, "unsqueeze: axis 4"),
    (lambda: x.flatten(1, 0), ValueError, "comes after"),
    (lambda: x.broadcast_to((2, 4)), ValueError, r"broadcast_to: \(2, 3\) to \(2, 4\)"),
    (lambda: x.pad(-1), ValueError, "pad: width -1"),
    (lambda: tt.ones(3).tril(), ValueError, "no last two axes"),
    (lambda: x.flip(5), AxisError, "flip: axis 5"),
    (lambda: tt.concat([x, tt.ones(2, 2)]), ValueError, "concat: .* all other axes must be equal"),
    (lambda: tt.concat([]), ValueError, "there must be one"),
    (lambda: tt.stack([x, tt.ones(2)]), ValueError, "stack: shapes"),
    (lambda: tt.split(x, [1, 2]), ValueError, "do not add up to the 2"),
    (lambda: tt.split(x, 0), ValueError, "at least one element"),
    (lambda: x[2], IndexError, r"getitem: index 2 is out of bounds.*\(2, 3\)"),
    (lambda: x[0, 0, 0], IndexError, "too many indices"),
    (lambda: x["a"], IndexError, "'a' cannot index"),
    (lambda: x[1.0], IndexError, "cannot index"),
    (lambda: x[np.ones(5, bool)], IndexError, "boolean index did not match"),
    (lambda: tt.zeros(2).__setitem__(5, 1), IndexError, "setitem: index 5"),
    (lambda: tt.zeros(2).__setitem__(slice(None), [1, 2, 3]), ValueError, r"setitem: a value of shape \(3,\)"),
    (lambda: tt.ones(1).expand(3).__setitem__(0, 1), ValueError, "read-only view"),
    (lambda: x.gather(np.array([[5]]), 1), IndexError, "gather: indices from 5 to 5"),
    (lambda: x.gather(np.array([[0.5]]), 1), TypeError, "they must be integers"),
    (lambda: x.gather(np.array([0]), 1), ValueError, "same number of axes"),
    (lambda: x.scatter_add(np.array([[0]]), tt.ones(2, 1), 1), ValueError, "the shapes must be equal"),
    (lambda: tt.einsum("ij,jk", x), ValueError, "names 2 operands, 1 were given"),
    (lambda: tt.einsum("ij,jk", x, x), ValueError, "einsum: "),
    (lambda: tt.einsum(x, "ij"), TypeError, "the first argument is a Tensor"),
    (lambda: x.item(), ValueError, "has 6 elements, not one"),
    (lambda: bool(x), ValueError, "ambiguous"),
    (lambda: len(Tensor(1.0)), TypeError, "no length"),
    (lambda: [1, 2][Tensor([1.0])], TypeError, "is not an integer"),  # type: ignore[call-overload]
    (lambda: x.clip(), ValueError, "both bounds are None"),
    (lambda: x.clip(Tensor(2.0)), TypeError, "a bound is a Tensor; bounds are numbers"),
    (lambda: x.clip("a"), TypeError, "a bound is a str"),
    (lambda: x.astype("U3"), TypeError, "is not a number"),
    (lambda: x.astype(None), TypeError, "astype: dtype None is not a number"),
    (lambda: Tensor([1], "foo"), TypeError, "Tensor: dtype 'foo' is not a number"),
    (lambda: x.sum([0, 1]), TypeError, r"sum: axis \[0, 1\] is a list"),
    (lambda: x.sum((0, 0)), ValueError, r"sum: axis \(0, 0\) .* different ones"),
    (lambda: x.argmax((0, 1)), ValueError, "name one axis"),
    (lambda: np.mean(x, dtype=float), TypeError, "np.mean: .*'dtype' for tensors"),
    (lambda: x.sort(None), TypeError, "sort: axis None is a NoneType"),
    (lambda: x.topk(1.5), TypeError, "topk: k = 1.5 is a float"),
    (lambda: x.topk(2, axis=1.5), TypeError, "topk: axis 1.5 is a float"),
    (lambda: x.reshape(-1, -1), ValueError, "only one size may be -1"),
    (lambda: x.reshape(None), TypeError, "None in shape"),
    (lambda: x.pad("a"), ValueError, "pad: width a"),
    (lambda: x.pad(1, value=Tensor(1.0)), TypeError, "is a Tensor; it is one number"),
    (lambda: x.tril(1.5), TypeError, "diagonal 1.5 is a float"),
    (lambda: x.split(1.5), TypeError, "split: pieces of 1.5"),
    (lambda: x.split([1.5, 0.5]), TypeError, "split: 1.5 in shape"),
    (lambda: tt.concat([x, x], 1.5), TypeError, "concat: axis 1.5 is a float"),
    (lambda: x.gather(0, 1), ValueError, "gather: index of shape"),
    (lambda: x.gather(np.zeros((3, 1), int), 1), ValueError, r"index of shape \(3, 1\) .* only axis 1 may be longer"),
    (lambda: x.scatter_add(np.zeros((3, 1), int), tt.ones(3, 1), 1), ValueError, "only axis 1 may be longer"),
    (lambda: x.scatter_add(np.zeros((1, 1), int), 1.0, 1), ValueError, r"source \(\); the shapes must be equal"),
    (lambda: tt.einsum("i->", 3.0), ValueError, r"einsum: 'i->' for shapes \(\)"),
    (lambda: list(Tensor(1.0)), TypeError, "iter: a 0-dimensional tensor"),
    (lambda: f"{x:.2f}", TypeError, "format: '.2f' is for one number"),
    (lambda: np.dot(x, tt.ones(2, 3, 2)), ValueError, "np.dot: .* write x @ y"),
    (lambda: tt.zeros(-1), ValueError, r"zeros: shape \(-1,\) has a negative size"),
    (lambda: tt.eye(1.5), TypeError, "eye: 1.5 in shape"),
    (lambda: tt.linspace(0, 1, 2.5), TypeError, "linspace: 2.5 in shape"),
    (lambda: tt.randn(2, dtype=int), TypeError, "randn: dtype int64; .* randint draws integers"),
    (lambda: tt.randint(0.5, 2), TypeError, "0.5 in shape"),
    (lambda: tt.randperm(-1), ValueError, "negative size"),
    (lambda: x.nonsense, AttributeError, "'Tensor' object has no attribute 'nonsense'"),
    (lambda: tt.arange(0, 5, 0), ValueError, "step is 0"),
    (lambda: tt.randint(3, 3), ValueError, "high must be above low"),
    (lambda: tt.zeros(1.5), TypeError, "1.5 in shape"),
    (lambda: tt.set_default_dtype("int64"), TypeError, "not a floating-point dtype"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), TABLE, ids=[message[:30] for _, _, message in TABLE])
def test_bad_input_is_explained(wrong: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        wrong()
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) <= 2
