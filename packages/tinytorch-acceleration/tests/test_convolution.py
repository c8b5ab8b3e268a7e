"""Depthwise convolution and the gradient of max pooling against NumPy's version, in units in the last place."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tinytorch.acceleration import accelerating
from tinytorch.spatial.convolution import conv2d
from tinytorch.spatial.max_pooling import max_pool2d
from tinytorch.tensor import Tensor

from .comparing import DTYPES, accelerated, exactly, numbers, units


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_values_and_gradients_are_within_a_unit_for_each_product(dtype: Any, data: st.DataObject) -> None:
    channels, each, N = (data.draw(st.integers(least, 3)) for least in (2, 1, 1))
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pair = st.one_of(st.integers(1, 2), st.tuples(st.integers(1, 2), st.integers(1, 2)))
    params = {"groups": channels, "stride": data.draw(pair), "dilation": data.draw(pair)}
    params["padding"] = data.draw(st.sampled_from([0, 1, (1, 0)]))
    x = numbers(data, (N, channels, *data.draw(st.tuples(st.integers(5, 8), st.integers(5, 8)))), dtype)
    weight = numbers(data, (channels * each, 1, *kernel), dtype)
    inputs = [x, weight, data.draw(st.sampled_from([None, numbers(data, (channels * each,), dtype)]))]
    g = numbers(data, conv2d.forward(*inputs, **params)[0].shape, dtype)
    exact, (fast, _) = exactly(conv2d, inputs, g, params), accelerated(conv2d, inputs, g, params)
    for more, less in zip(exact, fast, strict=True):
        assert less.dtype == dtype and less.shape == more.shape
        assert units(less, more, 8 * 8 * (g.size + kernel[0] * kernel[1])) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_the_gradient_of_max_pooling_goes_to_the_same_pixels(dtype: Any, data: st.DataObject) -> None:
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    params = {
        "kernel_size": kernel, "stride": data.draw(st.sampled_from([None, 1, 2])), "dilation": 1,
        "padding": (kernel[0] // 2, 0), "ceil_mode": data.draw(st.booleans()),
    }  # fmt: skip
    shape = data.draw(st.tuples(*(st.integers(least, 6) for least in (1, 1, 3, 3))))
    x = data.draw(arrays.arrays(dtype, shape, elements=st.sampled_from([0.0, 1.0, 2.0, -np.inf])))  # many are equal
    g = numbers(data, max_pool2d.forward(x, **params)[0].shape, dtype)
    exact, (fast, during) = exactly(max_pool2d, [x], g, params), accelerated(max_pool2d, [x], g, params)
    assert during["max_pool2d backward"].served == 1
    np.testing.assert_array_equal(fast[0], exact[0].astype(dtype))
    assert units(fast[1], exact[1], 8) <= 9


def test_channels_that_are_mixed_are_left_to_numpy() -> None:
    x, weight = Tensor(np.ones((1, 2, 3, 3), np.float32)), Tensor(np.ones((2, 2, 2, 2), np.float32))
    with accelerating() as during:
        assert conv2d(x, weight).sum().item() == 64
    assert during["conv2d"] == (0, {"channels that are mixed": 1})


def test_shapes_that_do_not_fit_are_refused_as_before() -> None:
    with accelerating(), pytest.raises(ValueError, match="groups is 2 for 3 output channels"):
        conv2d(Tensor(np.ones((1, 2, 3, 3), np.float32)), Tensor(np.ones((3, 1, 2, 2), np.float32)), groups=2)
