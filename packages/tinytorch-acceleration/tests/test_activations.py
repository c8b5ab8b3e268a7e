"""The kernels of the activations against NumPy's versions, in units in the last place."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tinytorch.acceleration import accelerating
from tinytorch.acceleration.kernels.elementary import exp32, exp64
from tinytorch.autograd import enable_autograd, rules
from tinytorch.layers import functional as F
from tinytorch.tensor import Primitive, Tensor

enable_autograd()
ACTIVATIONS = [F.gelu, F.silu, F.sigmoid]
DTYPES = [np.float32, np.float64]


def ulps(x: Any, exact: Any, scale: Any) -> float:
    """The largest distance in units in the last place of `scale`, in the dtype of x."""
    unit = np.spacing(np.maximum(np.abs(scale), np.finfo(x.dtype).tiny).astype(x.dtype)).astype(np.longdouble)
    return float(np.max(np.abs(x.astype(np.longdouble) - exact) / unit, initial=0))


def exactly(activation: Primitive, x: Any, g: Any) -> tuple[Any, Any]:
    """Value and gradient by NumPy in the longest floating-point numbers that there are."""
    x, g = x.astype(np.longdouble), g.astype(np.longdouble)
    out, saved = activation.forward(x)
    return out, rules[activation](g, out, saved, [True], [x], {})[0]


def accelerated(activation: Primitive, x: Any, g: Any) -> tuple[Any, Any]:
    tensor = Tensor(x, x.dtype, requires_grad=True)
    with accelerating() as during:
        out = activation(tensor)
        out.backward(Tensor(g, g.dtype))
    assert during[activation.name].served == during[f"{activation.name} backward"].served == 1
    assert tensor.grad is not None
    return out.data, tensor.grad.data


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda each: each.name)
@given(data=st.data())
def test_values_and_gradients_are_within_eight_units_of_what_numpy_computes_with_more_digits(
    activation: Primitive, dtype: Any, data: st.DataObject
) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9))
    x = data.draw(arrays.arrays(np.float32, shape, elements=st.floats(-30, 30, width=32))).astype(dtype)
    g = data.draw(arrays.arrays(np.float32, shape, elements=st.floats(-2, 2, width=32))).astype(dtype)
    (value, slope), (fast, fast_slope) = exactly(activation, x, g), accelerated(activation, x, g)
    assert fast.dtype == fast_slope.dtype == dtype
    assert ulps(fast, value, np.maximum(np.abs(x), 1)) <= 2
    assert ulps(fast_slope, slope, g * np.maximum(np.abs(x), 1)) <= 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda each: each.name)
def test_extreme_numbers_give_what_numpy_gives(activation: Primitive, dtype: Any) -> None:
    x = np.array([0.0, -0.0, 1e4, -1e4, np.finfo(dtype).max, -np.finfo(dtype).max, np.nan, 1e-30, 60, -60], dtype)
    with np.errstate(all="ignore"):
        exact, fast = exactly(activation, x, np.ones_like(x)), accelerated(activation, x, np.ones_like(x))
    for more, less in zip(exact, fast, strict=True):
        np.testing.assert_allclose(less, more.astype(dtype), rtol=1e-5, atol=1e-5)


def test_more_numbers_than_one_core_takes_at_a_time_give_the_same() -> None:
    x = np.linspace(-9, 9, 100_001, dtype=np.float32)
    whole, slopes = accelerated(F.gelu, x, np.ones_like(x))
    part, _ = accelerated(F.gelu, x[:5], np.ones_like(x[:5]))
    np.testing.assert_array_equal(whole[:5], part)
    assert ulps(whole, exactly(F.gelu, x, x)[0], np.maximum(np.abs(x), 1)) <= 2
    np.testing.assert_array_equal(slopes, accelerated(F.gelu, x, np.ones_like(x))[1])


@pytest.mark.parametrize(("exp", "dtype"), [(exp32, np.float32), (exp64, np.float64)])
def test_exp_is_within_one_unit(exp: Any, dtype: Any) -> None:
    most = np.log(np.finfo(dtype).max)
    x = np.concatenate([np.linspace(-most - 20, most - 1e-3, 3000), [np.inf, -np.inf, np.nan, most + 1]]).astype(dtype)
    found = np.array([exp(each) for each in x]).astype(dtype)  # of numbers Numba makes Python's floats
    with np.errstate(over="ignore", under="ignore"):
        exact = np.exp(x.astype(np.longdouble))
    assert ulps(found[:3000], exact[:3000], exact[:3000]) <= 1
    np.testing.assert_array_equal(found[3000:], np.array([np.inf, 0, np.nan, np.inf], dtype))
