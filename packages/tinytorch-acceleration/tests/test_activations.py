"""The kernels of the activations against NumPy's versions, in units in the last place."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tinytorch.acceleration.kernels.elementary import exp32, exp64
from tinytorch.layers import functional as F
from tinytorch.tensor import Primitive

from .comparing import DTYPES, accelerated, exactly, numbers, units

ACTIVATIONS = [F.gelu, F.silu, F.sigmoid]
by_name = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda each: each.name)


@pytest.mark.parametrize("dtype", DTYPES)
@by_name
@given(data=st.data())
def test_values_and_gradients_are_within_eight_units(activation: Primitive, dtype: Any, data: st.DataObject) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9))
    x, g = numbers(data, shape, dtype, 30), numbers(data, shape, dtype)
    (value, slope), ((fast, fast_slope), _) = exactly(activation, [x], g, {}), accelerated(activation, [x], g, {})
    assert fast.dtype == fast_slope.dtype == dtype
    assert units(fast, value, np.maximum(np.abs(x), 1)) <= 2
    assert units(fast_slope, slope, g * np.maximum(np.abs(x), 1)) <= 8


@pytest.mark.parametrize("dtype", DTYPES)
@by_name
def test_extreme_numbers_give_what_numpy_gives(activation: Primitive, dtype: Any) -> None:
    x = np.array([0.0, -0.0, 1e4, -1e4, np.finfo(dtype).max, -np.finfo(dtype).max, np.nan, 1e-30, 60, -60], dtype)
    with np.errstate(all="ignore"):
        exact, (fast, _) = exactly(activation, [x], np.ones_like(x), {}), accelerated(activation, [x], x * 0 + 1, {})
    for more, less in zip(exact, fast, strict=True):
        np.testing.assert_allclose(less, more.astype(dtype), rtol=1e-5, atol=1e-5)


def test_more_numbers_than_one_core_takes_at_a_time_give_the_same() -> None:
    x = np.linspace(-9, 9, 100_001, dtype=np.float32)
    (whole, slopes), _ = accelerated(F.gelu, [x], np.ones_like(x), {})
    (part, _), _ = accelerated(F.gelu, [x[:5]], np.ones_like(x[:5]), {})
    np.testing.assert_array_equal(whole[:5], part)
    assert units(whole, exactly(F.gelu, [x], x, {})[0], np.maximum(np.abs(x), 1)) <= 2
    np.testing.assert_array_equal(slopes, accelerated(F.gelu, [x], np.ones_like(x), {})[0][1])


@pytest.mark.parametrize(("exp", "dtype"), [(exp32, np.float32), (exp64, np.float64)])
def test_exp_is_within_one_unit(exp: Any, dtype: Any) -> None:
    most = np.log(np.finfo(dtype).max)
    x = np.concatenate([np.linspace(-most - 20, most - 1e-3, 3000), [np.inf, -np.inf, np.nan, most + 1]]).astype(dtype)
    found = np.array([exp(each) for each in x]).astype(dtype)  # of numbers Numba makes Python's floats
    with np.errstate(over="ignore", under="ignore"):
        exact = np.exp(x.astype(np.longdouble))
    normal = exact[:3000] > np.finfo(dtype).tiny
    assert units(found[:3000][normal], exact[:3000][normal]) <= 1
    np.testing.assert_allclose(found[:3000], exact[:3000].astype(dtype), rtol=1e-6, atol=np.finfo(dtype).tiny * 1e-5)
    np.testing.assert_array_equal(found[3000:], np.array([np.inf, 0, np.nan, np.inf], dtype))
