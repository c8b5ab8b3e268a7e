"""Bad input gets an error of the right type that says what was seen, the rule, and the way out."""

from __future__ import annotations

import gc
import weakref
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
    (lambda: x.reshape(2.0, 3), TypeError, "a size in .* is 2.0"),
    (lambda: x.reshape("a"), TypeError, "a size in .* is 'a'"),
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
    (lambda: np.mean(x, dtype=float), TypeError, "mean: unknown argument 'dtype'"),
    (lambda: x.sort(None), TypeError, "sort: axis None is a NoneType"),
    (lambda: x.topk(1.5), TypeError, "topk: k is 1.5"),
    (lambda: x.topk(2, axis=1.5), TypeError, "topk: axis 1.5 is a float"),
    (lambda: x.reshape(-1, -1), ValueError, "only one size may be -1"),
    (lambda: x.reshape(None), TypeError, "a size in .* is None"),
    (lambda: x.pad("a"), ValueError, "pad: width a"),
    (lambda: x.pad(1, value=Tensor(1.0)), TypeError, "is a Tensor; it is one number"),
    (lambda: x.tril(1.5), TypeError, "diagonal is 1.5"),
    (lambda: x.split(1.5), TypeError, "split: pieces of 1.5"),
    (lambda: x.split([1.5, 0.5]), TypeError, "split: a size in .* is 1.5"),
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
    (lambda: tt.eye(1.5), TypeError, "eye: a size in .* is 1.5"),
    (lambda: tt.linspace(0, 1, 2.5), TypeError, "linspace: a size in .* is 2.5"),
    (lambda: tt.randn(2, dtype=int), TypeError, "randn: dtype int64; .* randint draws integers"),
    (lambda: tt.randint(0.5, 2), TypeError, "a size in .* is 0.5"),
    (lambda: tt.randperm(-1), ValueError, "negative size"),
    (lambda: x.nonsense, AttributeError, "'Tensor' object has no attribute 'nonsense'"),
    (lambda: tt.arange(0, 5, 0), ValueError, "step is 0"),
    (lambda: tt.arange(126, 129, dtype="int8"), OverflowError, "arange: 128 does not fit dtype int8"),
    (lambda: tt.arange(0, 1, 0.25, dtype=int), TypeError, "arange: a fraction does not fit dtype int64"),
    (lambda: np.diff(x, -1), ValueError, "np.diff: n is -1"),
    (lambda: np.zeros_like(x, None, "K"), TypeError, "np.zeros_like: .* 3 were given for tensors"),
    (lambda: tt.randint(3, 3), ValueError, "high must be above low"),
    (lambda: tt.zeros(1.5), TypeError, "a size in .* is 1.5"),
    (lambda: tt.set_default_dtype("int64"), TypeError, "not a floating-point dtype"),
    (lambda: tt.transpose([[1, 2]], 0, 5), AxisError, r"transpose: axis 5 .* \(1, 2\)"),
    (lambda: tt.unsqueeze(x, 4), AxisError, "unsqueeze: axis 4 .* a new one goes in at 0 to 2, or -3 to -1"),
    (lambda: tt.unsqueeze(Tensor(1.0), 5), AxisError, "a new one goes in at 0 to 0, or -1 to -1"),
    (lambda: tt.stack([x, x], axis=7), AxisError, "stack: axis 7"),
    (lambda: tt.sort(Tensor(3.0)), AxisError, "sort: axis -1 .* has no axes"),
    (lambda: x.sort(5), AxisError, "sort: axis 5"),
    (lambda: x.var(correction="a"), TypeError, "var: .*'int' and 'str'"),
    (lambda: x.sum(axis=0, keepdims="a"), TypeError, "sum: 'str' object"),
    (lambda: tt.exp(x, foo=1), TypeError, "exp: unknown argument 'foo'"),
    (lambda: tt.concat(None), TypeError, "concat: the tensors are a NoneType; give several in a list"),
    (lambda: tt.stack(5), TypeError, "stack: the tensors are a int"),
    (lambda: x.split(np.float32(1.5)), TypeError, "split: pieces of "),
    (lambda: Tensor([2]) ** -1, ValueError, "a negative integer power are fractions; use astype"),
    (lambda: tt.where(x > 2, x, None), TypeError, "where: y is None"),
    (lambda: tt.zeros(2).__setitem__(0, None), TypeError, "setitem: value is None"),
    (lambda: tt.zeros(2, int), TypeError, "a dtype is given by name"),
    (lambda: tt.zeros((2, 3), np.float32), TypeError, "a dtype is given by name"),
    (lambda: tt.zeros(int), TypeError, "is <class 'int'>; it must be an int"),
    (lambda: tt.zeros(np.ones((2, 2))), TypeError, r"zeros: sizes of shape \(2, 2\); a shape is a row of ints"),
    (lambda: tt.full(2, 0.5, dtype=int), TypeError, "full: a fraction does not fit dtype int64"),
    (lambda: tt.full(2, [-129, 127], dtype="int8"), OverflowError, "full: -129 does not fit dtype int8"),
    (lambda: tt.full(2, 300, dtype="int8"), OverflowError, "full: 300 does not fit dtype int8, from -128 to 127"),
    (lambda: tt.full(2, 2**63), OverflowError, "beyond int64"),
    (lambda: np.full_like(Tensor([1]), 0.5), TypeError, "a fraction does not fit"),
    (lambda: Tensor([300], "int8"), OverflowError, "Tensor: 300 does not fit dtype int8"),
    (lambda: Tensor(-1, "uint8"), OverflowError, "Tensor: -1 does not fit dtype uint8, from 0 to 255"),
    (lambda: tt.zeros(2, dtype="int8").__setitem__(0, 300), OverflowError, "setitem: 300 does not fit dtype int8"),
    (lambda: tt.zeros(2, dtype="int8").__setitem__(0, np.array([300])), OverflowError, "setitem: 300"),
    (lambda: tt.zeros(2, dtype=int).__setitem__(0, 1e30), OverflowError, r"setitem: 1e\+30 does not fit dtype int64"),
    (lambda: Tensor([1], "uint8").pad(1, value=-1), OverflowError, "pad: -1 does not fit dtype uint8"),
    (lambda: tt.randint(0, 300, 4, dtype="int8"), OverflowError, "randint: 299 does not fit dtype int8"),
    (lambda: tt.rand(2, generator=0), TypeError, "rand: generator is a int; give np.random.default_rng"),
    (lambda: tt.randperm(2, generator=np.random.RandomState(0)), TypeError, "randperm: generator is a RandomState"),
    (lambda: tt.from_dlpack([1.0]), TypeError, "from_dlpack: a list has no __dlpack__"),
    (lambda: np.moveaxis(x, 5, 0), AxisError, "moveaxis: axis 5"),
    (lambda: np.moveaxis(x, (0, 1), (0, 0)), ValueError, "moveaxis: .* name each axis once"),
    (lambda: np.expand_dims(x, (0, 0)), ValueError, "names a place twice"),
    (lambda: x.moveaxis(0, (0, 1)), ValueError, "moveaxis: .* a place for each"),
    (lambda: x.swapaxes(0, 5), AxisError, "transpose: axis 5"),
    (lambda: x.round(1.5), TypeError, "round: decimals is 1.5; it must be an int"),
    (lambda: x.round(decimals="a"), TypeError, "round: decimals is 'a'"),
    (lambda: x.arctan2(tt.ones(2)), ValueError, r"arctan2: \(2, 3\) and \(2,\) cannot be broadcast"),
    (lambda: x.logsumexp(axis=2), AxisError, "logsumexp: axis 2"),
    (lambda: x.norm(3), ValueError, "norm: ord 3; it is 1, 2 or infinity"),
    (lambda: x.norm("fro"), ValueError, "norm: ord 'fro'"),
    (lambda: x.norm(axis=(0, 0)), ValueError, r"norm: axis \(0, 0\) .* different ones"),
    (lambda: np.linalg.norm(x, 1), ValueError, "np.linalg.norm: ord 1 of matrices"),
    (lambda: np.linalg.norm(x, "fro", (0, 1)), ValueError, "np.linalg.norm: ord 'fro' of matrices"),
    (lambda: x.cumprod(3), AxisError, "cumprod: axis 3"),
    (lambda: x.median(2), AxisError, "median: axis 2"),
    (lambda: x.median((0, 0)), ValueError, "median: axis .* different ones"),
    (lambda: tt.zeros(0).median(), ValueError, "no elements have no median"),
    (lambda: x.masked_fill(tt.ones(2, 3), 0.0), TypeError, "masked_fill: a mask of dtype float32; it is boolean"),
    (lambda: Tensor([1]).masked_fill([True], 0.5), TypeError, "masked_fill: a fraction does not fit dtype int64"),
    (lambda: x.masked_fill([True], None), TypeError, "masked_fill: the value is None"),
    (lambda: x.masked_fill([True, False], 0.0), ValueError, "where: .* cannot be broadcast"),
    (lambda: x.roll(1.5), TypeError, "roll: a size in .* is 1.5"),
    (lambda: x.roll(1, 2), AxisError, "roll: axis 2"),
    (lambda: x.roll((1, 2, 3), (0, 1)), ValueError, r"roll: by \(1, 2, 3\) along \(0, 1\)"),
    (lambda: x.repeat(-1), ValueError, r"repeat: \(-1,\) times for 6 elements"),
    (lambda: x.repeat([1, 2, 3], 0), ValueError, r"repeat: \(1, 2, 3\) times for 2 elements; .* one for each"),
    (lambda: x.repeat(2.0), TypeError, "repeat: a size in .* is 2.0"),
    (lambda: x.repeat(2, 3), AxisError, "repeat: axis 3"),
    (lambda: x.tile(-1), ValueError, "tile: .* not negative"),
    (lambda: x.tile(1.5), TypeError, "tile: a size in .* is 1.5"),
    (lambda: x.chunk(0), ValueError, "chunk: chunks is 0; it must be an int, at least 1"),
    (lambda: x.chunk(1.5), TypeError, "chunk: chunks is 1.5"),
    (lambda: x.unbind(2), AxisError, "unbind: axis 2"),
    (lambda: tt.unbind(Tensor(1.0)), AxisError, "unbind: axis 0"),
    (lambda: x.diagonal(0, 1, -1), ValueError, "diagonal: axis 1 and -1 .* two different axes"),
    (lambda: x.diagonal(1.5), TypeError, "diagonal: offset is 1.5"),
    (lambda: tt.ones(3).diagonal(), AxisError, "diagonal: axis 1"),
    (lambda: tt.ones(2, 2, 2).diag(), ValueError, r"diag: shape \(2, 2, 2\); a vector or a matrix"),
    (lambda: x.take([0.5]), TypeError, "take: indices of dtype float64; they must be integers"),
    (lambda: x.take([True, False]), TypeError, "take: indices of dtype bool"),
    (lambda: x.take([7]), IndexError, "take: indices from 7 to 7 for 6 elements"),
    (lambda: x.take(0, 5), AxisError, "take: axis 5"),
    (lambda: Tensor(1.0).nonzero(), ValueError, "nonzero: a 0-dimensional tensor"),
    (lambda: x.where([True, False], 0.0), ValueError, "where: .* cannot be broadcast"),
    (lambda: np.split(x, 2, axis=7), AxisError, "np.split: axis 7"),
    (lambda: np.split(x, 4), ValueError, "do not make 4 equal pieces"),
    (lambda: np.ravel(x, "F"), TypeError, "np.ravel: takes 1 positional argument but 2 were given for tensors"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), TABLE, ids=[message[:30] for _, _, message in TABLE])
def test_bad_input_is_explained(wrong: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        wrong()
    assert issubclass(type(caught.value), kind)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: tt.ones(2, 3) + tt.ones(4),
        lambda: tt.ones(2, 3) @ tt.ones(2, 3),
        lambda: tt.ones(2, 3).reshape(4),
        lambda: tt.ones(2, 3).broadcast_to((4,)),
        lambda: tt.concat([tt.ones(2, 3), tt.ones(3, 2)]),
        lambda: tt.stack([tt.ones(2), tt.ones(3)]),
        lambda: tt.ones(3).split([1, 1]),
        lambda: tt.einsum("ij,jk->ik", tt.ones(2, 3), tt.ones(2, 3)),
        lambda: tt.ones(0, 3).max(axis=0),
        lambda: tt.ones(2).squeeze(0),
        lambda: tt.ones(2).item(),
        lambda: Tensor([[1.0], [1.0, 2.0]]),
        lambda: tt.zeros(-1),
    ],
)
def test_sizes_that_do_not_fit_are_a_shape_error(wrong: Callable[[], Any]) -> None:
    with pytest.raises(tt.ShapeError):
        wrong()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Tensor("a"),
        lambda: Tensor([1], requires_grad=True),
        lambda: Tensor([1], dtype="datetime64"),
        lambda: tt.set_default_dtype("int64"),
        lambda: tt.full((1,), 0.5, dtype="int64"),
        lambda: ~Tensor([1.0]),
        lambda: tt.randn(2, dtype="int64"),
        lambda: tt.take(Tensor([1.0]), [0.5]),
        lambda: tt.masked_fill(Tensor([1.0]), Tensor([1.0]), 0.0),
    ],
)
def test_kinds_of_numbers_that_an_operation_does_not_take_are_a_dtype_error(wrong: Callable[[], Any]) -> None:
    with pytest.raises(tt.DTypeError):
        wrong()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tt.add(x, tt.zeros(3)),  # the primitive's own words
        lambda x: tt.exp(x, wrong=1),  # an argument that it does not have
        lambda x: tt.sum(x, dim=0),
        lambda x: tt.reshape(x, shape=(5,)),  # words of the forward itself
        lambda x: tt.primitive(_fail)(x),  # a note on an error from elsewhere
        lambda x: tt.add.lower()(x.data, np.zeros(3)),
        lambda x: tt.reshape.lower()(x.data, shape=(5,)),
    ],
)
def test_a_caught_error_keeps_nothing_alive(call):
    gc.collect()
    gc.disable()
    try:
        x = tt.zeros(2, 4)
        alive = weakref.ref(x), weakref.ref(x.data)
        try:
            call(x)
        except (ValueError, TypeError):
            pass
        else:
            raise AssertionError("no error")
        del x
        assert [each() for each in alive] == [None, None]
    finally:
        gc.enable()


def _fail(x, /):
    raise ValueError("somewhere else")
