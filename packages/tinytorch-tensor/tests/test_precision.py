"""Sums keep their digits: float16 is computed in float32, many float32 numbers in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.tensor import Tensor, primitive
from tinytorch.tensor.precision import BLOCK, FEW

rng = np.random.default_rng(0)


def halves(*shape: int, value: float = 1.0) -> Tensor:
    return Tensor(np.full(shape, value, np.float16))


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda: halves(10_000, 2).sum(axis=0), 10_000),
        (lambda: halves(2, 10_000).sum(axis=1), 10_000),
        (lambda: halves(10_000, 2).cumsum(axis=0)[-1], 10_000),
        (lambda: halves(10_000, 2).mean(axis=0), 1),
        (lambda: halves(10_000, value=300.0).var(), 0),
        (lambda: Tensor(np.array([300, -300] * 50, np.float16)).std(), 300),
        (lambda: Tensor(np.array([300, -300] * 50, np.float16)).norm(), 3000),
        (lambda: halves(4, value=300.0).prod() * 0 + halves(2, value=200).prod(), 40_000),
        (lambda: halves(1, 10_000) @ halves(10_000, 1), 10_000),
        (lambda: tt.einsum("ij->j", halves(10_000, 2)), 10_000),
        (lambda: tt.scatter_add(halves(1), np.zeros(9_999, np.int64), halves(9_999), axis=0), 10_000),
        (lambda: tt.logsumexp(halves(10_000, value=0.0)), np.log(10_000)),
    ],
)
def test_float16_is_computed_in_float32(compute: Callable[[], Tensor], expected: float) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        result = compute()
    assert result.dtype == np.float16
    np.testing.assert_allclose(result.data[np.isfinite(result.data)], np.float16(expected), rtol=1e-3)


def test_std_of_large_float16_is_that_of_float32() -> None:
    x = Tensor((rng.normal(size=1000) * 300).astype(np.float16))
    np.testing.assert_allclose(x.std().item(), np.std(x.data.astype(np.float64)), rtol=1e-3)


def test_float16_beside_float32_is_float32() -> None:
    total = halves(10_000, 1).data.T.astype(np.float16)
    assert tt.matmul(Tensor(total), tt.ones(10_000, 1)).dtype == np.float32


def test_an_upcast_primitive_sees_float32_also_when_it_is_called_on_arrays() -> None:
    seen: list[Any] = []

    @primitive(upcast=True)
    def doubled(x: Any, y: Any, /) -> Any:
        seen.append((x.dtype, getattr(y, "dtype", None)))
        return x * 2

    half = np.ones(2, np.float16)
    assert doubled(Tensor(half), 1.0).dtype == doubled.lift(half, half).dtype == doubled.lower()(half, 3).dtype == "e"
    assert doubled(Tensor([1.0]), Tensor([1])).dtype == doubled.lift(half, np.ones(2, np.float32)).dtype == np.float32
    assert {str(dtype) for pair in seen for dtype in pair if dtype} == {"float32", "int64"}


def test_an_upcast_fused_primitive_rounds_its_result_and_not_what_it_saved() -> None:
    @primitive(upcast=True, fused=True)
    def softened(x: Any, /) -> Any:
        return x / 2, x

    out, saved = softened.forward(np.ones(2, np.float16))
    assert out.dtype == softened(halves(2)).dtype == np.float16
    assert saved.dtype == np.float32


def test_a_million_times_a_tenth_is_a_hundred_thousand_over_every_axis() -> None:
    tenths = Tensor(np.full((1_000_000, 2), 0.1, np.float32))
    for total in (tenths.sum(axis=0), tenths.T.sum(axis=1), tenths.sum(axis=(0,)), tenths[:, 1].sum()):
        np.testing.assert_allclose(total.data, 100_000, rtol=1e-6)
    np.testing.assert_allclose(tenths.mean(axis=0).data, 0.1, rtol=1e-6)
    np.testing.assert_allclose(tenths.cumsum(axis=0).data[-1], 100_000, rtol=1e-6)
    np.testing.assert_allclose(tenths.norm(axis=0).data, 100, rtol=1e-6)


@pytest.mark.parametrize("n", [FEW - 1, FEW, FEW + 1, 5 * BLOCK, 5 * BLOCK + 1, 100_003])
def test_sums_of_columns_have_the_digits_of_float32(n: int) -> None:
    x = (rng.random((n, 3)) + 0.5).astype(np.float32)
    np.testing.assert_allclose(Tensor(x).sum(axis=0).data, x.astype(np.float64).sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, -2, (0, 2), (1, 3), (0, 1), (3, 0), (0, 1, 2, 3), ()])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("layout", ["C", "F", "sliced"])
def test_sums_over_any_axes_are_those_of_float64(axis: Any, keepdims: bool, layout: str) -> None:
    x = rng.normal(size=(600, 3, 5, 4))
    x = np.asfortranarray(x) if layout == "F" else x[::2, :, ::-1] if layout == "sliced" else x
    total = Tensor(x, dtype=np.float64).sum(axis=axis, keepdims=keepdims)
    expected = x.sum(axis=axis, keepdims=keepdims)
    assert total.shape == expected.shape
    np.testing.assert_allclose(total.data, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, 2), True, 1.5])
def test_an_axis_that_a_long_tensor_does_not_have_is_refused(axis: Any) -> None:
    with pytest.raises((ValueError, TypeError, IndexError), match="sum: axis"):
        tt.ones(10_000, 2).sum(axis=axis)
