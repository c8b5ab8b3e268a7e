"""Every operation gives NumPy's values, on every layout in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import tinytorch.tensor as tt
from tinytorch.tensor import Tensor

from .drawn import arrays, broadcastable, check, t64

BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}
DIVIDING = {"divide": np.divide, "floor_divide": np.floor_divide, "remainder": np.remainder}
UNARY = {
    "negative": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "exp": np.exp,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
}


@pytest.mark.parametrize("name", BINARY)
@given(pair=broadcastable())
def test_binary_operations_broadcast_like_numpy(name: str, pair: Any) -> None:
    check(getattr(tt, name)(*map(t64, pair)), BINARY[name](*pair))


@pytest.mark.parametrize("name", DIVIDING)
@given(pair=broadcastable(low=0.5))
def test_divisions_are_numpys(name: str, pair: Any) -> None:
    check(getattr(tt, name)(*map(t64, pair)), DIVIDING[name](*pair))


@pytest.mark.parametrize("name", UNARY)
@given(x=arrays())
def test_unary_operations_are_numpys(name: str, x: Any) -> None:
    check(getattr(tt, name)(t64(x)), UNARY[name](x))


@given(x=arrays(low=0.5))
def test_roots_logarithms_and_powers_are_numpys(x: Any) -> None:
    check(tt.sqrt(t64(x)), np.sqrt(x))
    assert_allclose(tt.log(t64(x)).data, np.log(x), rtol=1e-15)
    assert_allclose((t64(x) ** 2).data, x**2)
    assert_allclose((t64(x) ** 1.5).data, x**1.5)
    assert_allclose((2 ** t64(x)).data, 2**x)


@given(x=arrays(low=0.5), whole=arrays(dtype=np.int64))
def test_common_powers_are_numpys_operator(x: Any, whole: Any) -> None:
    for exponent in (-1, -1.0, 0.5, 2, 2.0, 3, 3.0):
        assert_allclose((t64(x) ** exponent).data, x**exponent, rtol=1e-15)
    for exponent in (2, 3):
        check(Tensor(whole) ** exponent, whole**exponent)
    check(Tensor([True]) ** 2, np.power(np.array([True]), 2))


@given(x=arrays(), low=st.floats(-2, 0), high=st.floats(0, 2))
def test_clip_where_and_astype(x: Any, low: float, high: float) -> None:
    check(t64(x).clip(low, high), np.clip(x, low, high))
    check(tt.where(x > 0, t64(x), 0.0), np.where(x > 0, x, 0.0))
    check(t64(x).astype("int64"), x.astype(np.int64))


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std", "any", "all"])
@given(data=st.data(), x=arrays(st.just((2, 3, 4))), keepdims=st.booleans())
def test_reductions_over_any_axes(name: str, data: Any, x: Any, keepdims: bool) -> None:
    axis = data.draw(st.sampled_from([None, 0, 1, -1, (0, 2), (1,), (0, 1, 2)]))
    check(getattr(t64(x), name)(axis=axis, keepdims=keepdims), getattr(np, name)(x, axis=axis, keepdims=keepdims))


@given(x=arrays(st.just((3, 4))), axis=st.sampled_from([0, 1, -1]))
def test_positions_and_orders(x: Any, axis: int) -> None:
    t = t64(x)
    check(t.argmax(axis), np.argmax(x, axis))
    check(t.argmin(axis), np.argmin(x, axis))
    check(t.cumsum(axis), np.cumsum(x, axis))
    values, order = t.sort(axis)
    check(values, np.sort(x, axis, kind="stable"))
    check(order, np.argsort(x, axis, kind="stable"))
    down, places = t.sort(axis, descending=True)
    check(down, np.flip(np.sort(x, axis), axis))
    check(down, np.take_along_axis(x, places.data, axis))
    best, where = t.topk(2, axis)
    check(best, np.take(down.data, [0, 1], axis))
    check(where, np.take(places.data, [0, 1], axis))


def test_equal_elements_keep_their_order_in_both_directions() -> None:
    x = Tensor([1, 2, 1, 2])
    check(x.argsort(), [0, 2, 1, 3])
    check(x.argsort(descending=True), [1, 3, 0, 2])


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("axis", [0, 1, -1])
@given(data=st.data())
def test_topk_of_long_axes_is_the_start_of_the_whole_order(data: Any, axis: int, largest: bool) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x = rng.integers(0, data.draw(st.sampled_from([3, 100, 10**6])), (1200, 2) if axis == 0 else (2, 1200)).astype(
        float
    )
    x[rng.random(x.shape) < data.draw(st.sampled_from([0.0, 0.001, 0.1, 1.0]))] = np.nan
    k = data.draw(st.sampled_from([1, 5, 100]))
    values, places = t64(x).topk(k, axis, largest)
    order = t64(x).argsort(axis, descending=largest)
    check(places, np.take(order.data, np.arange(k), axis))
    check(values, np.take_along_axis(x, places.data, axis))


def test_a_single_number_is_in_order() -> None:
    check(tt.argsort(Tensor(3.0)), [0])
    check(tt.argsort(Tensor(3.0), axis=None, descending=True), [0])


@given(x=arrays(st.just((2, 3, 4))))
def test_shapes_change_without_changing_elements(x: Any) -> None:
    t = t64(x)
    check(t.reshape(4, -1), x.reshape(4, -1))
    check(t.reshape((6, 4)), x.reshape(6, 4))
    check(t.transpose(0, 2), np.swapaxes(x, 0, 2))
    check(t.transpose(), np.swapaxes(x, -1, -2))
    check(t.permute(2, 0, 1), np.transpose(x, (2, 0, 1)))
    check(t.T, x.T)
    check(t.mT, np.swapaxes(x, -1, -2))
    check(t.unsqueeze(1), x[:, None])
    check(t.unsqueeze(-1).squeeze(-1), x)
    check(t.flatten(), x.reshape(-1))
    check(t.flatten(1), x.reshape(2, 12))
    check(t.flip(), np.flip(x))
    check(t.flip((0, 2)), np.flip(x, (0, 2)))
    check(t[:1].expand(5, -1, -1), np.broadcast_to(x[:1], (5, 3, 4)))
    check(t.broadcast_to((2, 2, 3, 4)), np.broadcast_to(x, (2, 2, 3, 4)))
    check(t.pad(((0, 1), (2, 0), (0, 0)), value=7.0), np.pad(x, ((0, 1), (2, 0), (0, 0)), constant_values=7.0))
    check(t.tril(1), np.tril(x, 1))
    check(t.triu(-1), np.triu(x, -1))


@given(x=arrays(st.just((5, 2))), y=arrays(st.just((3, 2))))
def test_joining_and_splitting(x: Any, y: Any) -> None:
    check(tt.concat([t64(x), t64(y)]), np.concatenate([x, y]))
    check(tt.stack([t64(y), t64(y)], axis=1), np.stack([y, y], axis=1))
    pieces = tt.split(t64(x), 2)
    for piece, expected in zip(pieces, (x[:2], x[2:4], x[4:]), strict=True):
        check(piece, expected)
    check(tt.concat(tt.split(t64(x), [1, 4])), x)
    check(tt.concat([t64(x), t64(y)], axis=None), np.concatenate([x, y], axis=None))
    check(tt.concat(tt.split(t64(x[:0]), 2)), x[:0])


INDICES: list[Any] = [
    0,
    -1,
    slice(None, None, -2),
    ...,
    None,
    (0, 1),
    (slice(None), 1),
    (..., None, 0),
    [0, 2, 2],
    ([0, 1], [1, 0]),
    (slice(None), [0, 0]),
    np.array([[0, 1], [2, 0]]),
    np.array([True, False, True]),
    (np.array([True, False, True]), 0),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
@given(x=arrays(st.just((3, 2))))
def test_indexing_reads_and_writes_like_numpy(index: Any, x: Any) -> None:
    t = t64(x)
    check(t[index], x[index])
    written, expected = t64(x.copy()), x.copy()
    written[index] = 9.0
    expected[index] = 9.0
    check(written, expected)


def test_tensors_are_indices_too() -> None:
    x = Tensor([[1, 2], [3, 4], [5, 6]])
    check(x[Tensor([2, 0])], [[5, 6], [1, 2]])
    check(x[x > 3], [4, 5, 6])
    check(x[Tensor(1), Tensor(0)], 3)


@given(x=arrays(st.just((2, 3))), source=arrays(st.just((2, 2))))
def test_gather_picks_and_scatter_adds_back(x: Any, source: Any) -> None:
    index = np.array([[2, 2], [0, 1]])
    check(t64(x).gather(index, axis=1), np.take_along_axis(x, index, 1))
    expected = x.copy()
    for i in range(2):
        for j in range(2):
            expected[i, index[i, j]] += source[i, j]
    check(t64(x).scatter_add(index, t64(source), axis=1), expected)


def test_gather_from_a_part_of_the_other_axes() -> None:
    x, index = np.arange(12.0).reshape(3, 4), np.array([[3, 0]])
    check(t64(x).gather(index, axis=1), x[:1, [3, 0]])
    check(t64(x).gather(np.array([[2, 0]]), axis=0), np.array([[x[2, 0], x[0, 1]]]))
    check(np.take_along_axis(t64(x), Tensor(index), 1), np.take_along_axis(x, index, 1))  # NumPy broadcasts instead


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3), (3, 4)),
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3,)),
        ((4, 2, 3), (3, 2)),
        ((4, 1, 2, 3), (5, 3, 2)),
        ((0, 3), (3, 2)),
    ],
)
@given(data=st.data())
def test_matrix_products_are_numpys(left: Any, right: Any, data: Any) -> None:
    x, y = data.draw(arrays(st.just(left))), data.draw(arrays(st.just(right)))
    check(t64(x) @ t64(y), x @ y)


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("ij->j", [(2, 3)]),
        ("b...i,...ij->b...j", [(2, 4, 3), (4, 3, 2)]),
        ("...i,...i", [(2, 3), (3,)]),
        ("i,j,k->kji", [(2,), (3,), (4,)]),
        ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
        ("ij,jk->ik", [(2, 1), (3, 4)]),
        ("ij,ij->i", [(1, 3), (2, 1)]),
    ],
)
def test_einsum_is_numpys(spec: str, shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    operands = [rng.standard_normal(shape) for shape in shapes]
    assert_allclose(tt.einsum(spec, *map(t64, operands)).data, np.einsum(spec, *operands), atol=1e-12)


def test_half_precision_products_are_rounded_once() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 64, 64)).astype(np.float16)
    check(Tensor(x) @ Tensor(y), (x.astype(np.float32) @ y.astype(np.float32)).astype(np.float16))


def test_nan_and_infinity_behave_as_in_numpy() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    t = Tensor(x)
    for name in ("exp", "tanh", "abs", "sign", "isnan", "isfinite", "negative"):
        check(getattr(tt, name)(t), UNARY[name](x))
    check(t.max(), np.max(x))
    check(t.maximum(1.0), np.maximum(x, np.float32(1.0)))
    check(t == t, x == x)
    with np.errstate(all="ignore"):
        check(t / 0.0, x / np.float32(0.0))
        check(t - t, x - x)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        check(tt.log(Tensor([-1.0])), np.array([np.nan], np.float32))


def test_floats_become_float32_and_integers_do_not_widen_them() -> None:
    floats, ints = Tensor([1.5, 2.0]), Tensor([1, 2])
    assert floats.dtype == np.float32
    assert Tensor(np.ones(2)).dtype == np.float32
    assert ints.dtype == np.int64
    assert Tensor([True]).dtype == np.bool_
    for result in (
        floats + ints,
        ints * floats,
        ints / 2,
        ints.mean(),
        ints.exp(),
        floats + np.ones(2),
        floats * 2.5,
        1 / ints,
    ):
        assert result.dtype == np.float32
    assert (ints + 1).dtype == np.int64
    assert (ints + np.int32(1)).dtype == np.int64
    wide = Tensor([1.0], dtype=np.float64)
    assert (wide * floats).dtype == np.float64
    assert (wide + ints).dtype == np.float64
    assert Tensor(wide).dtype == np.float64


def test_numpy_scalars_take_the_dtype_of_the_tensor_they_meet() -> None:
    root = np.sqrt(2)
    assert (Tensor([1.0], "float64") * root).item() == math.sqrt(2)
    assert (root * Tensor([1.0], "float64")).item() == math.sqrt(2)
    assert (Tensor([1.0]) * root).dtype == np.float32
    assert (Tensor([1]) * np.int32(2)).dtype == np.int64


def test_the_default_dtype_can_be_changed() -> None:
    tt.set_default_dtype(np.float64)
    try:
        assert Tensor([1.0]).dtype == tt.zeros(2).dtype == tt.randn(2).dtype == (Tensor([1]) / 2).dtype == np.float64
    finally:
        tt.set_default_dtype(np.float32)
