"""Each fused primitive equals its readable composition: values, gradients, and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tinytorch.autograd import grad, gradcheck, gradgradcheck, rules
from tinytorch.layers import functional as F
from tinytorch.layers.functional import blocks
from tinytorch.tensor import Primitive, Tensor, registry

NUMBERS = st.floats(-8, 8, width=32)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=shape), "float64", requires_grad=True)


def composition(primitive: Primitive) -> Callable[..., Tensor]:
    found = rules[primitive].composition
    assert found is not None
    return found


LOSS = {"ignore_index": -100, "label_smoothing": 0.0, "weight": None, "reduction": "mean"}
TARGETS = np.array([[2, 0, 1], [1, 1, -100]])

CASES: dict[str, tuple[Primitive, tuple[Any, ...], dict[str, Any]]] = {
    "linear": (F.linear, (leaf(2, 3, 4), leaf(4, 5, seed=1), leaf(5, seed=2)), {}),
    "linear of a vector": (F.linear, (leaf(4), leaf(4, 5, seed=1), leaf(5, seed=2)), {}),
    "linear without bias": (F.linear, (leaf(2, 4), leaf(4, 5, seed=1), None), {}),
    "layer norm": (F.layer_norm, (leaf(2, 3, 4), leaf(4, seed=1), leaf(4, seed=2)), {}),
    "layer norm, other eps": (F.layer_norm, (leaf(3, 4), leaf(4, seed=1), None), {"eps": 0.5}),
    "layer norm alone": (F.layer_norm, (leaf(3, 4), None, None), {}),
    "layer norm far from zero": (
        F.layer_norm,
        (Tensor(leaf(3, 4).data + 100, "float64", requires_grad=True), leaf(4, seed=1), leaf(4, seed=2)),
        {},
    ),
    "rms norm": (F.rms_norm, (leaf(2, 3, 4), leaf(4, seed=1)), {}),
    "rms norm alone": (F.rms_norm, (leaf(3, 4), None), {"eps": 0.5}),
    "softmax": (F.softmax, (leaf(2, 3, 4),), {}),
    "softmax of a middle axis": (F.softmax, (leaf(2, 3, 4),), {"axis": 1}),
    "log softmax": (F.log_softmax, (leaf(2, 3, 4),), {}),
    "log softmax of the first axis": (F.log_softmax, (leaf(2, 3),), {"axis": 0}),
    "gelu": (F.gelu, (leaf(3, 4),), {}),
    "exact gelu": (F.gelu, (leaf(3, 4),), {"approximate": "none"}),
    "silu": (F.silu, (leaf(3, 4),), {}),
    "sigmoid": (F.sigmoid, (leaf(3, 4),), {}),
    "embedding": (F.embedding, (leaf(5, 3), np.array([[1, 4, 1], [0, 1, 4]])), {}),
    "embedding with padding": (F.embedding, (leaf(5, 3), np.array([1, 4, 1])), {"padding_idx": 4}),
    "cross-entropy": (F.softmax_cross_entropy, (leaf(2, 3, 4), TARGETS), LOSS),
    "cross-entropy, summed": (F.softmax_cross_entropy, (leaf(2, 3, 4), TARGETS), {**LOSS, "reduction": "sum"}),
    "cross-entropy of each": (F.softmax_cross_entropy, (leaf(2, 3, 4), TARGETS), {**LOSS, "reduction": "none"}),
    "cross-entropy, smoothed": (F.softmax_cross_entropy, (leaf(2, 3, 4), TARGETS), {**LOSS, "label_smoothing": 0.3}),
    "cross-entropy, weighted": (
        F.softmax_cross_entropy,
        (leaf(2, 3, 4), TARGETS),
        {**LOSS, "label_smoothing": 0.3, "weight": np.array([1.0, 0.0, 2.0, 0.5])},
    ),
    "cross-entropy, ignoring a class": (
        F.softmax_cross_entropy,
        (leaf(2, 3, 4), abs(TARGETS) % 4),
        {**LOSS, "ignore_index": 1},
    ),
}


def test_every_fused_primitive_is_compared() -> None:
    declared = {p for p in registry.values() if p.fused and p.__module__.startswith("tinytorch.layers")}
    assert declared == {primitive for primitive, _, _ in CASES.values()}


@pytest.mark.parametrize("name", CASES)
def test_equals_its_composition(name: str) -> None:
    primitive, args, params = CASES[name]
    leaves = [arg for arg in args if isinstance(arg, Tensor)]
    fast, readable = primitive(*args, **params), composition(primitive)(*args, **params)
    assert_allclose(fast.data, readable.data, rtol=1e-12, atol=1e-14)
    direction = Tensor(np.random.default_rng(7).normal(size=fast.shape), "float64")
    for one, other in zip(grad(fast, leaves, direction), grad(readable, leaves, direction), strict=True):
        assert_allclose(one.data, other.data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_equal_finite_differences(name: str) -> None:
    primitive, args, params = CASES[name]
    if params.get("padding_idx") is not None:
        args = (args[0], args[1][args[1] != params["padding_idx"]])  # differences would see that row change
    assert gradcheck(lambda *args: primitive(*args, **params), args)
    assert gradgradcheck(lambda *args: primitive(*args, **params), args)


@pytest.mark.parametrize("name", CASES)
def test_works_in_small_blocks_as_in_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    primitive, args, params = CASES[name]
    leaves = [arg for arg in args if isinstance(arg, Tensor)]

    def results() -> list[np.ndarray]:
        out = primitive(*args, **params)
        return [
            out.data,
            *(g.data for g in grad(out, leaves, Tensor(np.cos(np.arange(out.size)).reshape(out.shape), "float64"))),
        ]

    whole = results()
    monkeypatch.setattr(blocks, "BLOCK", 8)
    for one, other in zip(results(), whole, strict=True):
        assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_a_second_backward_pass_gives_the_same_gradients(name: str) -> None:
    primitive, args, params = CASES[name]
    leaves = [arg for arg in args if isinstance(arg, Tensor)]
    total = primitive(*args, **params).sum()
    first = [g.data.copy() for g in grad(total, leaves, retain_graph=True)]
    for one, other in zip(grad(total, leaves), first, strict=True):
        np.testing.assert_array_equal(one.data, other)


@pytest.mark.parametrize("name", CASES)
def test_float32_in_float32_out_and_back(name: str) -> None:
    primitive, args, params = CASES[name]
    narrow = [Tensor(arg, "float32", requires_grad=True) if isinstance(arg, Tensor) else arg for arg in args]
    out = primitive(*narrow, **params)
    assert out.dtype == np.float32
    assert_allclose(out.data, primitive(*args, **params).data, rtol=2e-5, atol=2e-5)
    out.sum().backward()
    assert {arg.grad.dtype for arg in narrow if isinstance(arg, Tensor) and arg.grad is not None} == {np.dtype("f4")}


ROW_WISE = {
    "linear": lambda x: F.linear(x, np.ones((x.shape[-1], 2)), np.ones(2)),
    "layer_norm": lambda x: F.layer_norm(x, np.ones(x.shape[-1]), np.ones(x.shape[-1])),
    "rms_norm": lambda x: F.rms_norm(x, np.ones(x.shape[-1])),
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "gelu": F.gelu,
    "exact_gelu": lambda x: F.gelu(x, approximate="none"),
    "silu": F.silu,
    "sigmoid": F.sigmoid,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
}
BY_PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: composition(F.linear)(x, np.ones((x.shape[-1], 2)), np.ones(2)),
    "layer_norm": lambda x: composition(F.layer_norm)(x, np.ones(x.shape[-1]), np.ones(x.shape[-1])),
    "rms_norm": lambda x: composition(F.rms_norm)(x, np.ones(x.shape[-1])),
    "softmax": composition(F.softmax),
    "log_softmax": composition(F.log_softmax),
    "gelu": composition(F.gelu),
    "exact_gelu": lambda x: composition(F.gelu)(x, approximate="none"),
    "silu": composition(F.silu),
    "sigmoid": composition(F.sigmoid),
    "relu": lambda x: x.maximum(0.0),
    "leaky_relu": lambda x: x.maximum(0.01 * x),
}
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
}


@pytest.mark.parametrize("name", ROW_WISE)
@given(
    data=hnp.arrays(np.float64, SHAPES, elements=NUMBERS),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_any_shape_and_layout(name: str, data: np.ndarray, layout: str) -> None:
    assume(data.shape[-1] > 0)
    x = Tensor(LAYOUTS[layout](data), "float64", requires_grad=True)
    fast, readable = ROW_WISE[name](x), BY_PARTS[name](x)
    assert fast.shape == readable.shape
    assert_allclose(fast.data, readable.data, rtol=1e-9, atol=1e-9)
    if name not in ("relu", "leaky_relu"):  # whose slopes at 0 are another choice than that of maximum
        direction = Tensor(np.cos(np.arange(fast.size)).reshape(fast.shape), "float64")
        one, other = grad(fast, x, direction), grad(readable, x, direction)
        assert_allclose(one.data, other.data, rtol=1e-6, atol=1e-6)


@given(
    data=hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4), elements=NUMBERS),
    seed=st.integers(0, 2**32 - 1),
    smoothing=st.sampled_from([0.0, 0.25, 1.0]),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    weighted=st.booleans(),
)
def test_cross_entropy_of_any_shape(
    data: np.ndarray, seed: int, smoothing: float, reduction: str, weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    x = Tensor(data, "float64", requires_grad=True)
    targets = rng.integers(0, data.shape[-1], data.shape[:-1])
    targets[rng.random(targets.shape) < 0.3] = -100
    weight = rng.uniform(0.1, 2, data.shape[-1]) if weighted else None
    params = {"ignore_index": -100, "label_smoothing": smoothing, "weight": weight, "reduction": reduction}
    fast = F.softmax_cross_entropy(x, targets, **params)
    readable = composition(F.softmax_cross_entropy)(x, targets, **params)
    assert_allclose(fast.data, readable.data, rtol=1e-9, atol=1e-9)
    if (targets != -100).any():
        assert_allclose(grad(fast.sum(), x).data, grad(readable.sum(), x).data, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(0,), (3,), (0, 3), (2, 0), (2, 3), (2, 0, 3), (2, 4, 0), (2, 4, 3)])
@pytest.mark.parametrize("features", [0, 2])
def test_linear_of_nothing_and_to_nothing(shape: tuple[int, ...], features: int) -> None:
    parts = leaf(*shape), leaf(shape[-1], features, seed=1), leaf(features, seed=2)
    outs = [linear(*parts) for linear in (F.linear, composition(F.linear))]
    found, expected = (grad(out, parts, np.ones(out.shape)) for out in outs)
    for one, other in zip((outs[0], *found), (outs[1], *expected), strict=True):
        assert one.shape == other.shape
        assert_allclose(one.data, other.data)


@pytest.mark.parametrize("weight", [np.full((3, 2), 0.5), np.ones((3, 2), int)], ids=["float64", "int64"])
def test_linear_passes_back_through_the_numbers_of_an_array(weight: np.ndarray) -> None:
    x = Tensor(np.ones((4, 3)), requires_grad=True)
    (gradient,) = grad(F.linear(x, weight).sum(), [x])
    assert gradient.dtype == np.float32
    assert_allclose(gradient.data, np.full((4, 3), weight[0].sum()))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
@pytest.mark.parametrize("ignore_index", [-100, 1])
def test_targets_may_be_integers_of_any_kind(dtype: str, ignore_index: int) -> None:
    logits, targets = leaf(4, 3), np.array([2, 0, 1, 1])
    for loss in (F.cross_entropy, F.nll_loss):
        found = loss(logits, targets.astype(dtype), ignore_index)
        assert found.item() == loss(logits, targets, ignore_index).item()


def test_extremes_neither_overflow_nor_lose_their_gradients() -> None:
    far = np.array([-1e12, -1e4, -100.0, 0.0, 100.0, 1e4, 1e12])
    for name in ("gelu", "exact_gelu", "silu", "sigmoid"):
        x = Tensor(far, requires_grad=True)
        out = ROW_WISE[name](x)
        slope = grad(out.sum(), x)
        ends = (0.0, 1.0) if name == "sigmoid" else (0.0, 1e4)
        assert_allclose(out.data[[1, 5]], ends, atol=1e-30)
        assert np.isfinite(out.data).all(), name
        assert_allclose(slope.data[[1, 5]], (0.0, 0.0) if name == "sigmoid" else (0.0, 1.0), atol=1e-30)
        assert np.isfinite(slope.data).all(), name
    for name in ("softmax", "log_softmax"):
        x = Tensor([[1e4, 0.0, -1e4], [0.0, -np.inf, 1.0]], requires_grad=True)
        assert_allclose(grad(ROW_WISE[name](x)[:, 0].sum(), x).data.sum(axis=1), 0.0, atol=1e-6)
    for largest in (1e4, 1e30):  # the square of the second overflows
        loss = F.cross_entropy(Tensor([[largest, 0.0]], requires_grad=True), [1])
        assert loss.item() == pytest.approx(largest)


def test_nan_is_passed_on() -> None:
    x = Tensor([np.nan, 1.0])
    for name, function in ROW_WISE.items():
        assert np.isnan(function(x[None]).data).any(), name
    assert np.isnan(F.cross_entropy(x[None], [1]).item())


def test_integers_are_computed_as_floats() -> None:
    for name, function in ROW_WISE.items():
        found, expected = function(Tensor([[1, 2, 3]])), function(Tensor([[1.0, 2.0, 3.0]]))
        if name != "relu":
            assert found.dtype == np.float32, name
        assert_allclose(found.data, expected.data, rtol=1e-6, err_msg=name)


def test_exact_gelu_and_erf_are_as_exact_as_they_say() -> None:
    from math import erf, erfc, sqrt

    x = np.concatenate([np.linspace(-6, 6, 3001), 10.0 ** np.arange(-20, 0)])
    error = F.erf(Tensor(x, "float64")).data - [erf(v) for v in x]
    assert np.abs(error).max() < 5e-16
    small = x[(np.abs(x) < 0.5) & (x != 0)]
    assert_allclose(F.erf(Tensor(small, "float64")).data, [erf(v) for v in small], rtol=1e-15)
    below = np.array([0.5 * erfc(-v / sqrt(2)) for v in x])
    assert_allclose(F.gelu(Tensor(x, "float64"), "none").data, x * below, rtol=2e-14, atol=1e-300)
    narrow = x.astype(np.float32)
    below = np.array([0.5 * erfc(-float(v) / sqrt(2)) for v in narrow])
    assert np.abs(F.gelu(Tensor(narrow), "none").data - narrow * below).max() < 6e-7


def test_relu_selects_gradients_as_pytorch_does() -> None:
    x = Tensor([-1.0, 0.0, 2.0, np.nan], requires_grad=True)
    F.relu(x).backward(Tensor([np.inf, np.nan, -np.inf, 3.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, -np.inf, 3.0]
