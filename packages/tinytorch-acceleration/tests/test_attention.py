"""Attention against NumPy's version, in units in the last place."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tinytorch.acceleration import accelerating
from tinytorch.attention.fused import attention
from tinytorch.tensor import Tensor

from .comparing import DTYPES, accelerated, exactly, numbers, units


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), causal=st.booleans(), scale=st.sampled_from([None, 0.3]))
def test_values_and_gradients_are_within_a_few_units_of_what_is_summed(
    dtype: Any, data: st.DataObject, causal: bool, scale: float | None
) -> None:
    B, groups, shared, T, S, D, Dv = (data.draw(st.integers(1, most)) for most in (2, 2, 2, 9, 9, 4, 4))
    T += 1  # a single query is another kernel's
    S += T if causal else 0
    q, k = numbers(data, (B, groups * shared, T, D), dtype), numbers(data, (B, groups, S, D), dtype)
    v, g = numbers(data, (B, groups, S, Dv), dtype), numbers(data, (B, groups * shared, T, Dv), dtype)
    params = {"causal": causal, "scale": scale}
    exact = exactly(attention, [q, k, v, None], g, params)
    fast, _ = accelerated(attention, [q, k, v, None], g, params)
    for more, less in zip(exact, fast, strict=True):
        assert less.dtype == dtype and less.shape == more.shape
        # the weights' exponents are up to 8 x 8 x 4, and so many units may their exponentials be off
        assert units(less, more, 8 * 8 * 8 * 4 * T * shared) <= 64


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 150, 20, 150), (1, 2, 70, 64, 300), (2, 2, 65, 8, 70)])
def test_many_queries_give_numpys_numbers_the_same_every_time(shape: tuple[int, ...], causal: bool) -> None:
    B, H, T, D, S = shape
    rng = np.random.default_rng(0)
    q, g = (rng.standard_normal((B, T, H, D)).astype(np.float32).swapaxes(1, 2) for _ in range(2))
    k, v = (rng.standard_normal((B, S, H, D)).astype(np.float32).swapaxes(1, 2) for _ in range(2))
    exact = exactly(attention, [q, k, v, None], g, {"causal": causal})
    fast, _ = accelerated(attention, [q, k, v, None], g, {"causal": causal})
    again, _ = accelerated(attention, [q, k, v, None], g, {"causal": causal})
    for more, less, other in zip(exact, fast, again, strict=True):
        np.testing.assert_allclose(less, more.astype(np.float32), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(less, other)


def test_either_backward_follows_either_forward() -> None:
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((2, 2, 10, 4)) for _ in range(3))
    slopes = []
    for forward, backward in [(False, False), (True, False), (False, True), (True, True)]:
        x = Tensor(q, np.float64, requires_grad=True)
        with accelerating() if forward else np.errstate():
            out = attention(x, Tensor(k, np.float64), Tensor(v, np.float64), causal=True)
        with accelerating() if backward else np.errstate():
            out.sum().backward()
        assert x.grad is not None
        slopes.append(x.grad.data)
    for each in slopes[1:]:
        np.testing.assert_allclose(each, slopes[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mask": np.ones((3, 3), bool)}, "a mask"),
        ({"q": np.ones((1, 1, 1, 2), np.float32)}, "queries of shape (1, 1, 1, 2) and keys of shape (1, 1, 3, 2)"),
        ({"q": np.ones((1, 1, 4, 2), np.float32), "causal": True}, "queries that see no keys"),
        ({"scale": -1.0}, "a scale that is not positive"),
        ({"q": np.ones((1, 1, 3, 2), np.float16)}, "dtypes float16, float32 and float32"),
    ],
)
def test_what_is_not_served_is_what_numpy_gives(change: dict[str, Any], reason: str) -> None:
    x = np.ones((1, 1, 3, 2), np.float32)
    given = {"q": x, "k": x, "v": x, "mask": None, "scale": None, "causal": False, **change}
    tensors = [Tensor(given[name], given[name].dtype) for name in "qkv"]
    plain = attention(*tensors, given["mask"], given["causal"], given["scale"])
    with accelerating() as during:
        out = attention(*tensors, given["mask"], given["causal"], given["scale"])
    np.testing.assert_array_equal(out.data, plain.data)
    assert during["attention"] == (0, {reason: 1})


def test_shapes_that_do_not_fit_are_refused_as_before() -> None:
    x, y = Tensor(np.ones((1, 1, 3, 2), np.float32)), Tensor(np.ones((1, 1, 3, 3), np.float32))
    with accelerating(), pytest.raises(ValueError, match="attention: "):
        attention(x, y, x)
