"""Norms, softmax, cross-entropy and embedding against NumPy's versions, in units in the last place."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tinytorch.acceleration import accelerating
from tinytorch.acceleration.kernels.elementary import largest
from tinytorch.layers import functional as F
from tinytorch.layers.functional.cross_entropy import softmax_cross_entropy
from tinytorch.tensor import Primitive, Tensor

from .comparing import DTYPES, accelerated, exactly, numbers, units

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
shapes = arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=20)


@each_dtype
@pytest.mark.parametrize("norm", [F.layer_norm, F.rms_norm], ids=lambda each: each.name)
@given(data=st.data())
def test_norms_are_within_a_few_units_for_each_number_of_a_row(
    norm: Primitive, dtype: Any, data: st.DataObject
) -> None:
    shape = data.draw(shapes)
    x, g = (numbers(data, shape, dtype) for _ in range(2))
    scales = [numbers(data, shape[-1:], dtype) for _ in norm.inputs[1:]]
    inputs, params = [x, *scales[: data.draw(st.integers(0, len(scales)))]], {"eps": 0.1}
    inputs += [None] * (len(norm.inputs) - len(inputs))
    exact, (fast, _) = exactly(norm, inputs, g, params), accelerated(norm, inputs, g, params)
    size = 8 * 4 * shape[-1] * 8  # of x, times 1 / sqrt(eps), times the weights, summed over a row
    for more, less in zip(exact, fast, strict=True):
        assert less.dtype == dtype and less.shape == more.shape
        assert units(less, more, size * (x.size // shape[-1])) <= 4


@each_dtype
@given(data=st.data())
def test_softmax_is_within_a_few_units(dtype: Any, data: st.DataObject) -> None:
    shape = data.draw(shapes)
    x, g = numbers(data, shape, dtype, 100), numbers(data, shape, dtype)
    exact, (fast, _) = exactly(F.softmax, [x], g, {}), accelerated(F.softmax, [x], g, {})
    assert units(fast[0], exact[0], np.finfo(dtype).tiny * 1e6) <= 150  # exp of a difference that was rounded
    assert units(fast[1], exact[1], 16) <= 20


@each_dtype
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@given(data=st.data())
def test_cross_entropy_is_within_a_few_units(dtype: Any, reduction: str, data: st.DataObject) -> None:
    n, classes = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40))
    logits = numbers(data, (n, classes), dtype, 50)
    targets = data.draw(arrays.arrays(np.int64, n, elements=st.sampled_from([-1, *range(classes)])))
    params = {"ignore_index": -1, "label_smoothing": 0.0, "weight": None, "reduction": reduction}
    g = numbers(data, (n,) if reduction == "none" else (), dtype)
    if reduction == "mean" and (targets == -1).all():
        targets[0] = 0
    exact = exactly(softmax_cross_entropy, [logits, targets], g, params)
    fast, _ = accelerated(softmax_cross_entropy, [logits, targets], g, params)
    assert units(np.asarray(fast[0]), exact[0], 100 * n) <= 4
    assert units(fast[1], exact[1], 8) <= 110


@each_dtype
@given(data=st.data())
def test_the_gradient_of_an_embedding_is_within_a_unit_for_each_addition(dtype: Any, data: st.DataObject) -> None:
    weight = numbers(data, data.draw(st.tuples(st.integers(1, 9), st.integers(1, 130))), dtype)
    indices = data.draw(arrays.arrays(np.int32, (3, 5), elements=st.integers(0, len(weight) - 1)))
    params = {"padding_idx": data.draw(st.sampled_from([None, 0]))}
    g = numbers(data, (3, 5, weight.shape[1]), dtype)
    exact, (fast, _) = (
        exactly(F.embedding, [weight, indices], g, params),
        accelerated(F.embedding, [weight, indices], g, params),
    )
    np.testing.assert_array_equal(fast[0], exact[0].astype(dtype))
    assert units(fast[1], exact[1], 8) <= 15


@each_dtype
def test_extreme_rows_give_what_numpy_gives(dtype: Any) -> None:
    most = np.finfo(dtype).max
    x = np.array([[most, most, 0], [-most, -most, -most], [np.inf, 0, 0], [np.nan, 0, 0], [-np.inf, 0, 1]], dtype)
    with np.errstate(all="ignore"):
        plain = F.softmax(Tensor(x, dtype))
        with accelerating():
            fast = F.softmax(Tensor(x, dtype))
    np.testing.assert_allclose(fast.data, plain.data, rtol=1e-6)


@each_dtype
@given(data=st.data())
def test_the_largest_number_of_a_row(dtype: Any, data: st.DataObject) -> None:
    row = data.draw(arrays.arrays(dtype, st.integers(1, 50), elements={"allow_nan": False}))
    assert largest(row) == row.max()


def test_many_rows_on_all_cores_give_the_same_bits_every_time() -> None:
    x = np.random.default_rng(0).standard_normal((3000, 100)).astype(np.float32)
    scales = [x[0].copy(), x[1].copy()]
    first, _ = accelerated(F.layer_norm, [x, *scales], x, {})
    exact = exactly(F.layer_norm, [x, *scales], x, {})
    for _ in range(3):
        again, _ = accelerated(F.layer_norm, [x, *scales], x, {})
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)
    for more, less in zip(exact, first, strict=True):
        assert units(less, more, 100) <= 8


@pytest.mark.parametrize(
    ("primitive", "inputs", "params", "reason"),
    [
        (F.layer_norm, [np.ones((2, 3)), np.ones(3, np.float32)], {}, "dtypes float64 and float32"),
        (F.layer_norm, [np.ones((0, 3))], {}, "shape (0, 3)"),
        (F.softmax, [np.ones((2, 3))], {"axis": 0}, "axis 0 of shape (2, 3)"),
        (F.gelu, [np.ones(3)], {"approximate": "none"}, "approximate 'none'"),
    ],
)
def test_what_is_not_served_is_what_numpy_gives(
    primitive: Primitive, inputs: list[Any], params: dict[str, Any], reason: str
) -> None:
    tensors = [Tensor(x, x.dtype) for x in inputs]
    plain = primitive(*tensors, **params)
    with accelerating() as during:
        out = primitive(*tensors, **params)
    np.testing.assert_array_equal(out.data, plain.data)
    assert out.dtype == plain.dtype and during[primitive.name] == (0, {reason: 1})


def test_targets_that_are_no_classes_are_refused_as_before() -> None:
    with accelerating(), pytest.raises(IndexError, match="target 3 for 3 classes"):
        F.cross_entropy(Tensor([[1.0, 2.0, 3.0]]), Tensor([3]))
