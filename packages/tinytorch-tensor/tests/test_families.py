"""An operation is a function, a method and NumPy's own function on a tensor, and all have NumPy's values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

import tinytorch.tensor as tt
from tinytorch.tensor import Tensor
from tinytorch.tensor.ops import shaping

from .drawn import arrays, broadcastable, check, t64

FUNCTIONS = [
    "square", "expm1", "sinh", "cosh", "tan", "arctan", "isinf", "logical_not", "sqrt", "log", "log1p", "log2", "log10",
    "reciprocal", "arcsin", "arccos",
]  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=20)
@given(x=arrays())
def test_functions_of_one_input(name: str, x: Any) -> None:
    inside = {"arcsin": np.clip(x / 4, -1, 1), "arccos": np.clip(x / 4, -1, 1)}
    positive = np.abs(x) + 0.5 if name in ("sqrt", "log", "log1p", "log2", "log10", "reciprocal") else x
    given = inside.get(name, positive)
    for result in (getattr(tt, name)(t64(given)), getattr(t64(given), name)(), getattr(np, name)(t64(given))):
        check(result, getattr(np, name)(given))


@pytest.mark.parametrize("name", ["arctan2", "logical_and", "logical_or", "logical_xor"])
@settings(max_examples=20)
@given(pair=broadcastable())
def test_functions_of_two_inputs(name: str, pair: Any) -> None:
    x, y = map(t64, pair)
    for result in (getattr(tt, name)(x, y), getattr(x, name)(y), getattr(np, name)(x, y)):
        check(result, getattr(np, name)(*pair))


ALIKE: list[tuple[str, tuple[Any, ...]]] = [
    ("round", ()),
    ("round", (1,)),
    ("round", (-1,)),
    ("cumprod", (0,)),
    ("cumprod", ()),
    ("median", ()),
    ("median", (0,)),
    ("median", (-1,)),
    ("swapaxes", (0, 2)),
    ("moveaxis", (0, -1)),
    ("moveaxis", ((0, 1), (-1, 0))),
    ("roll", (1,)),
    ("roll", (-7, 1)),
    ("roll", ((1, 2), (0, 2))),
    ("repeat", (2,)),
    ("repeat", (0, 1)),
    ("repeat", (3, -1)),
    ("repeat", ([2, 0, 1], 1)),
    ("tile", (2,)),
    ("tile", ((2, 1, 1, 3),)),
    ("tile", ((0, 2),)),
    ("tile", ((),)),
    ("diagonal", ()),
    ("diagonal", (1,)),
    ("diagonal", (-1, 2, 0)),
    ("diagonal", (9,)),
    ("trace", ()),
    ("trace", (-1, 1, 2)),
    ("take", ([[0, -1], [2, 2]],)),
    ("take", ([1, 0], 0)),
    ("take", ([], 1)),
    ("take", (2, 1)),
    ("argwhere", ()),
]


@pytest.mark.parametrize(("name", "args"), ALIKE)
@settings(max_examples=20)
@given(x=arrays((2, 3, 4)))
def test_functions_methods_and_numpys_functions_are_alike(name: str, args: tuple[Any, ...], x: Any) -> None:
    expected_args = tuple(np.array(arg, int) if arg == [] else arg for arg in args)
    expected = getattr(np, name)(x, *expected_args)
    for result in (getattr(tt, name)(t64(x), *args), getattr(t64(x), name)(*args), getattr(np, name)(t64(x), *args)):
        assert result.shape == expected.shape
        assert_allclose(result.data, expected, rtol=1e-15)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
@settings(max_examples=20)
@given(x=arrays((2, 3, 4), low=-700, high=700))
def test_logsumexp_and_norms_over_any_axes(axis: Any, keepdims: bool, x: Any) -> None:
    t = t64(x)
    expected = np.logaddexp.reduce(x.reshape(-1)) if axis is None else x
    if axis is not None:
        axes = tuple(a % 3 for a in (axis if isinstance(axis, tuple) else (axis,)))
        for a in sorted(axes, reverse=True):
            expected = np.logaddexp.reduce(expected, axis=a)
    found = t.logsumexp(axis, keepdims)
    assert found.shape == np.sum(x, axis=axis, keepdims=keepdims).shape
    assert_allclose(found.data.reshape(-1), np.reshape(expected, -1), rtol=1e-13, atol=1e-14)
    for ord in (1, 2, np.inf):
        norm = np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
        assert_allclose(t.norm(ord, axis, keepdims).data, norm, rtol=1e-14)
        assert_allclose(np.linalg.vector_norm(t, axis=axis, keepdims=keepdims, ord=ord).data, norm, rtol=1e-14)
        assert t.norm(ord, axis, keepdims).shape == np.shape(norm)


INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], -INF),
        ([-INF, -INF], -INF),
        ([-INF, 2.0], 2.0),
        ([INF, 1.0], INF),
        ([INF, 1000.0], INF),
        ([INF, -INF], INF),
        ([NAN, 1.0], NAN),
        ([NAN, INF], NAN),
        ([1e30, 1e30], 1e30),
        ([-1e30, -1e30], -1e30),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_of_special_values_is_exact_and_silent(values: list[float], expected: float, dtype: str) -> None:
    assert_array_equal(Tensor(values, dtype).logsumexp().data, np.dtype(dtype).type(expected))


def test_sums_of_halves_and_integers_do_not_overflow() -> None:
    half = Tensor([300.0, 400.0], "float16")
    assert half.norm().item() == 500.0
    assert half.norm().dtype == half.logsumexp().dtype == np.float16
    assert tt.ones(3000, dtype="float16").logsumexp().item() == np.float16(1 + np.log(3000))
    assert Tensor([100, 100], "int8").norm(1).item() == 200.0
    assert Tensor([3, -4]).norm().dtype == Tensor([1]).logsumexp().dtype == Tensor([1, 2]).median().dtype == np.float32


def test_the_default_norm_is_numpys_of_vectors_and_matrices() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert_allclose(np.linalg.norm(t64(x)).data, np.linalg.norm(x))
    assert_allclose(np.linalg.norm(t64(x), axis=(0, 1)).data, np.linalg.norm(x, axis=(0, 1)))
    assert_allclose(np.linalg.norm(t64(x), 1, 0).data, np.linalg.norm(x, 1, 0))
    assert_allclose(np.linalg.norm(t64(x[0]), np.inf).data, np.linalg.norm(x[0], np.inf))


@pytest.mark.parametrize("values", [[1.0, NAN, 3.0], [NAN, NAN], [INF, 1.0, INF], [-INF, -INF], [2.0], [2.0, 1.0]])
def test_medians_of_special_values_are_numpys(values: list[float]) -> None:
    check(t64(values).median(), np.median(values))
    check(t64([values, values[::-1]]).median(1, keepdims=True), np.median([values, values], 1, keepdims=True))
    check(t64([values]).median(keepdims=True), np.median([values], keepdims=True))


@pytest.mark.parametrize("axis", [(), (1,), (0, -1), (2, 0), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_medians_over_several_axes_are_numpys(axis: tuple[int, ...], keepdims: bool) -> None:
    x = np.random.default_rng(0).permutation(24).reshape(2, 3, 4) / 2
    expected = np.median(x, axis, keepdims=keepdims) if axis else x  # of no axes NumPy's median fails
    check(t64(x).median(axis, keepdims), expected)
    check(np.median(t64(x), axis, keepdims=keepdims), expected)


def test_numbers_are_arrays_without_axes() -> None:
    assert tt.stack([Tensor(1.0), 2.0]).tolist() == [1.0, 2.0]
    assert tt.tile(3, 2).tolist() == [3, 3]
    assert tt.flatten(2.0).shape == tt.outer(2.0, 3.0).shape[:1] == (1,)


def test_sums_of_products_of_halves_are_rounded_once() -> None:
    x = t64(np.random.default_rng(0).standard_normal((8, 4000))).astype("float16")
    exact = np.einsum("ij,kj->ik", x.data.astype("float64"), x.data.astype("float64"))
    check(tt.einsum("ij,kj->ik", x, x), exact.astype("float16"))
    assert tt.einsum("ij->", x).dtype == np.float16


def test_repeats_in_an_array_are_not_checked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x, times = tt.ones(1000), Tensor(np.arange(1000) % 3)
    monkeypatch.setattr(shaping, "check_int", None)  # what lists are checked with
    assert len(x.repeat(times)) == times.sum().item()
    with pytest.raises(TypeError, match="NoneType"):
        x.repeat([2])


def test_integers_stay_integers_where_nothing_is_divided() -> None:
    whole = Tensor([[3, -1], [0, 2]])
    for name, args in [("square", ()), ("round", ()), ("roll", (1,)), ("cumprod", (0,)), ("trace", ()), ("tile", (2,))]:
        check(getattr(whole, name)(*args), getattr(np, name)(whole.data, *args))
    check(whole.masked_fill(whole < 0, 7), [[3, 7], [0, 2]])
    assert Tensor([2, 4]).reciprocal().tolist() == [0.5, 0.25]
    check(Tensor([125, 135]).round(-1), [120, 140])


@settings(max_examples=20)
@given(x=arrays((5, 2)))
def test_chunks_and_places_put_together_are_the_whole(x: Any) -> None:
    t = t64(x)
    for number in (1, 2, 3, 5, 9):
        check(tt.concat(t.chunk(number)), x)
    assert [len(piece) for piece in t.chunk(4)] == [2, 2, 1]  # as PyTorch cuts: pieces of one size, as long as it lasts
    assert [piece.shape for piece in tt.chunk(x[:0], 3)] == [(0, 2)]
    check(tt.stack(t.unbind(1), 1), x)
    assert [row.tolist() for row in tt.unbind(x)] == x.tolist()


def test_diag_builds_a_matrix_and_reads_one() -> None:
    for k in (-2, 0, 1):
        for x in (np.arange(1.0, 4.0), np.arange(12.0).reshape(3, 4), np.zeros(0)):
            check(t64(x).diag(k), np.diag(x, k))
            check(np.diag(t64(x), k), np.diag(x, k))
    check(tt.diag([1, 2]), np.diag([1, 2]))


@settings(max_examples=20)
@given(x=arrays((2, 3)))
def test_what_is_not_zero_is_found_where_it_stands(x: Any) -> None:
    t = t64(x)
    for found, expected in zip(t.nonzero(), np.nonzero(x), strict=True):
        check(found, expected)
    check(t[t.nonzero()], x[x != 0])
    check(tt.argwhere(x > 0), np.argwhere(x > 0))


def test_a_mask_chooses_what_is_filled() -> None:
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    mask = Tensor([True, False])
    assert x.masked_fill(mask, -INF).tolist() == [[-INF, 2.0], [-INF, 4.0]]
    assert x.masked_fill([1, 0], Tensor(9.0)).tolist() == [[9.0, 2.0], [9.0, 4.0]]
    assert x.where(x > 2, 0.0).tolist() == [[0.0, 0.0], [3.0, 4.0]]
    for dtype in ("float16", "float64", "int8", "bool"):
        for value in (1, 1.0, np.int64(1), Tensor(1), Tensor(1.0, "float64")):
            assert x.astype(dtype).masked_fill(mask, value).dtype == dtype
    with pytest.raises(OverflowError, match="masked_fill: -1 does not fit dtype uint8"):
        Tensor([1], "uint8").masked_fill([True], -1)


def test_products_are_methods_too() -> None:
    x, y = np.arange(3.0), np.arange(4.0)
    check(t64(x).outer(t64(y)), np.outer(x, y))
    check(np.outer(t64(x), y), np.outer(x, y))
    check(tt.outer(t64(x.reshape(3, 1)), [2.0]), np.outer(x, 2.0))
    check(t64(x).matmul(t64(x)), x @ x)


@pytest.mark.parametrize("exponent", [-2, -1.5, -1, -0.5, 0.5, 1.5, 2, 3, 4])
def test_short_powers_are_numpys_at_the_ends_of_their_range(exponent: float) -> None:
    x = np.array([0.0, 1e-30, 0.1, 1.0, 3.0, 1e30, INF], np.float32)
    with np.errstate(all="ignore"):
        assert_allclose((Tensor(x) ** exponent).data, np.power(x, np.float32(exponent)), rtol=4e-7)


def every_operation() -> list[str]:
    apart = {"concat", "stack", "concatenate", "einsum", "contract", "getitem", "setitem", "index_grad", "alias"}
    operators = {"add", "subtract", "multiply", "divide", "floor_divide", "remainder", "power", "negative", "invert"}
    operators |= {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
    operators |= {"bitwise_and", "bitwise_or", "bitwise_xor", "argtopk", "argmedian"}
    return [name for name in tt.ops.__all__ if name not in apart | operators]


@pytest.mark.parametrize("name", every_operation())
def test_operations_are_methods_and_functions_alike(name: str) -> None:
    assert callable(getattr(Tensor, name))
    assert callable(getattr(tt, name))


def test_repeats_are_counted_in_the_integers_that_numpy_indexes_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """On 32-bit platforms, such as the browser, NumPy refuses int64 there."""
    seen: list[Any] = []
    repeat = np.repeat
    monkeypatch.setattr(np, "repeat", lambda x, times, axis: seen.append(times.dtype) or repeat(x, times, axis))
    assert tt.repeat(Tensor([1, 2]), [1, 3]).tolist() == [1, 2, 2, 2]
    assert seen == [np.dtype(np.intp)]
