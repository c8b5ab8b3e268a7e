"""Each fused primitive equals its readable composition: values, gradients, and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.autograd import grad, gradcheck, gradgradcheck, rules
from tinytorch.spatial import adaptive_avg_pool2d, avg_pool2d, batch_norm, conv2d, max_pool2d, memory
from tinytorch.tensor import Primitive, Tensor, registry


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=shape), "float64", requires_grad=True)


def composition(primitive: Primitive) -> Callable[..., Tensor]:
    found = rules[primitive].composition
    assert found is not None
    return found


def direction(out: Tensor) -> Tensor:
    return Tensor(np.cos(np.arange(out.size)).reshape(out.shape), out.dtype)


def kernels(out: int, channels: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    return leaf(out, channels, rows, columns, seed=1), leaf(out, seed=2)


KNOWN = {"running_mean": Tensor([0.5, -1.0], "float64"), "running_var": Tensor([0.25, 2.0], "float64")}

CASES: dict[str, tuple[Primitive, tuple[Any, ...], dict[str, Any]]] = {
    "conv": (conv2d, (leaf(2, 2, 4, 3), *kernels(3, 2, 2, 2)), {}),
    "conv without bias": (conv2d, (leaf(2, 2, 4, 3), kernels(3, 2, 2, 2)[0], None), {}),
    "conv of everything": (
        conv2d,
        (leaf(2, 2, 5, 4), *kernels(4, 1, 3, 2)),
        {"stride": (2, 1), "padding": (2, 1), "dilation": (1, 2), "groups": 2},
    ),
    "conv that keeps the size": (conv2d, (leaf(1, 2, 3, 4), *kernels(2, 2, 2, 3)), {"padding": "same"}),
    "conv of one pixel": (conv2d, (leaf(2, 3, 2, 3), *kernels(2, 3, 1, 1)), {}),
    "max": (max_pool2d, (leaf(2, 2, 4, 5),), {"kernel_size": 2}),
    "max, overlapping": (max_pool2d, (leaf(1, 2, 5, 4),), {"kernel_size": 3, "stride": 1, "padding": 1}),
    "max, dilated": (
        max_pool2d,
        (leaf(1, 2, 5, 6),),
        {"kernel_size": 2, "stride": (1, 2), "dilation": (2, 3), "ceil_mode": True},
    ),
    "avg": (avg_pool2d, (leaf(2, 2, 4, 5),), {"kernel_size": 2}),
    "avg, overlapping": (
        avg_pool2d,
        (leaf(1, 2, 5, 4),),
        {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "ceil_mode": True, "count_include_pad": False},
    ),
    "avg, by a divisor": (avg_pool2d, (leaf(1, 1, 4, 4),), {"kernel_size": 2, "divisor_override": 0.7}),
    "adaptive": (adaptive_avg_pool2d, (leaf(2, 2, 5, 3),), {"output_size": (3, 2)}),
    "batch norm": (batch_norm, (leaf(3, 2, 2, 2), leaf(2, seed=1), leaf(2, seed=2)), {"training": True}),
    "batch norm alone": (batch_norm, (leaf(4, 2), None, None), {"training": True, "eps": 0.5}),
    "batch norm by known statistics": (batch_norm, (leaf(2, 2, 2, 2), leaf(2, seed=1), leaf(2, seed=2)), KNOWN),
}


def leaves_of(args: tuple[Any, ...]) -> list[Tensor]:
    return [arg for arg in args if isinstance(arg, Tensor)]


def test_every_fused_primitive_is_compared() -> None:
    declared = {p for p in registry.values() if p.fused and p.__module__.startswith("tinytorch.spatial")}
    assert declared == {primitive for primitive, _, _ in CASES.values()}


@pytest.mark.parametrize("name", CASES)
def test_equals_its_composition(name: str) -> None:
    primitive, args, params = CASES[name]
    fast, readable = primitive(*args, **params), composition(primitive)(*args, **params)
    assert_allclose(fast.data, readable.data, rtol=1e-12, atol=1e-14)
    pairs = (grad(out, leaves_of(args), direction(fast)) for out in (fast, readable))
    for one, other in zip(*pairs, strict=True):
        assert_allclose(one.data, other.data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_equal_finite_differences(name: str) -> None:
    primitive, args, params = CASES[name]
    assert gradcheck(lambda *args: primitive(*args, **params), args)
    assert gradgradcheck(lambda *args: primitive(*args, **params), args)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("block", [1, 8, 100])
def test_works_in_small_tiles_as_in_one(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    primitive, args, params = CASES[name]

    def results() -> list[np.ndarray]:
        out = primitive(*args, **params)
        return [out.data, *(g.data for g in grad(out, leaves_of(args), direction(out)))]

    whole = results()
    monkeypatch.setattr(memory, "BLOCK", block)
    for one, other in zip(results(), whole, strict=True):
        assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_a_second_backward_pass_gives_the_same_gradients(name: str) -> None:
    primitive, args, params = CASES[name]
    total = primitive(*args, **params).sum()
    first = [g.data.copy() for g in grad(total, leaves_of(args), retain_graph=True)]
    for one, other in zip(grad(total, leaves_of(args)), first, strict=True):
        assert_array_equal(one.data, other)


@pytest.mark.parametrize("name", CASES)
def test_only_the_gradient_that_is_needed(name: str) -> None:
    primitive, args, params = CASES[name]
    out = primitive(*args, **params)
    together = grad(out, leaves_of(args), direction(out), retain_graph=True)
    for x, expected in zip(leaves_of(args), together, strict=True):
        assert_allclose(grad(out, x, direction(out), retain_graph=True).data, expected.data, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_float32_in_float32_out_and_back(name: str) -> None:
    primitive, args, params = CASES[name]
    narrow = [Tensor(arg, "float32", requires_grad=True) if isinstance(arg, Tensor) else arg for arg in args]
    out = primitive(*narrow, **params)
    assert out.dtype == np.float32
    assert_allclose(out.data, primitive(*args, **params).data, rtol=2e-5, atol=2e-5)
    out.sum().backward()
    assert {arg.grad.dtype for arg in narrow if isinstance(arg, Tensor) and arg.grad is not None} == {np.dtype("f4")}


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "batch last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0),
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_order_does_not_matter(name: str, layout: str) -> None:
    primitive, args, params = CASES[name]
    moved = [
        Tensor(LAYOUTS[layout](arg.data), "float64", requires_grad=True) if isinstance(arg, Tensor) else arg
        for arg in args
    ]
    out, other = primitive(*args, **params), primitive(*moved, **params)
    assert_allclose(other.data, out.data, rtol=1e-12)
    seed = Tensor(LAYOUTS[layout](direction(out).data), "float64")
    pairs = grad(out, leaves_of(args), direction(out)), grad(other, leaves_of(tuple(moved)), seed)
    for one, two in zip(*pairs, strict=True):
        assert_allclose(one.data, two.data, rtol=1e-12, atol=1e-14)


def test_a_chain_of_layers_turns_the_memory_once() -> None:
    first = conv2d(leaf(4, 2, 6, 6), leaf(3, 2, 3, 3, seed=1), padding=1)
    assert np.shares_memory(memory.batch_last(first.data), first.data)
    pooled = max_pool2d(batch_norm(first, training=True), 2)
    assert np.shares_memory(memory.batch_last(pooled.data), pooled.data)


def by_loops(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int
):
    """The definition, number by number."""
    N, _, H, W = x.shape
    outputs, channels, kh, kw = weight.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    rows = (H + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    columns = (W + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((N, outputs, rows, columns))
    for n, o, r, c in np.ndindex(out.shape):
        group = o // (outputs // groups)
        total = bias[o]
        for k, i, j in np.ndindex(channels, kh, kw):
            row, column = r * sh + i * dh - ph, c * sw + j * dw - pw
            if 0 <= row < H and 0 <= column < W:
                total += weight[o, k, i, j] * x[n, group * channels + k, row, column]
        out[n, o, r, c] = total
    return out


sizes = st.integers(1, 3)
pairs = st.tuples(sizes, sizes)


@given(
    batch=st.integers(0, 2), groups=st.integers(1, 2), channels=sizes, outputs=sizes, kernel=pairs, stride=pairs,
    dilation=pairs, padding=st.tuples(st.integers(0, 2), st.integers(0, 2)), room=st.tuples(sizes, sizes),
    block=st.sampled_from([4, 2**19]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_convolution_is_the_seven_loops(
    batch: int, groups: int, channels: int, outputs: int, kernel: Any, stride: Any, dilation: Any, padding: Any,
    room: Any, block: int, seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    size = [max(1, d * (k - 1) + extra - 2 * p) for d, k, extra, p in zip(dilation, kernel, room, padding, strict=True)]
    x = Tensor(rng.normal(size=(batch, groups * channels, *size)), "float64", requires_grad=True)
    weight = Tensor(rng.normal(size=(groups * outputs, channels, *kernel)), "float64", requires_grad=True)
    bias = Tensor(rng.normal(size=groups * outputs), "float64", requires_grad=True)
    params = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "BLOCK", block)
        fast = conv2d(x, weight, bias, **params)
        gradients = grad(fast, [x, weight, bias], direction(fast))
    assert_allclose(fast.data, by_loops(x.data, weight.data, bias.data, **params), rtol=1e-10, atol=1e-12)
    readable = composition(conv2d)(x, weight, bias, **params)
    for one, other in zip(gradients, grad(readable, [x, weight, bias], direction(fast)), strict=True):
        assert_allclose(one.data, other.data, rtol=1e-10, atol=1e-12)


@given(
    kernel=pairs, stride=pairs, dilation=pairs, size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    halves=st.tuples(st.booleans(), st.booleans()), ceil_mode=st.booleans(), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_pooling_of_any_geometry(
    kernel: Any, stride: Any, dilation: Any, size: Any, halves: Any, ceil_mode: bool, seed: int
) -> None:
    padding = tuple(k // 2 if half else 0 for k, half in zip(kernel, halves, strict=True))
    x = Tensor(np.random.default_rng(seed).integers(-2, 3, (2, 2, *size)), "float64", requires_grad=True)
    params = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    for primitive, more in (
        (max_pool2d, {"dilation": dilation}),
        (avg_pool2d, {"count_include_pad": halves[0]}),
    ):
        try:
            fast = primitive(x, **params, **more)
        except ValueError as error:
            assert "spans" in str(error)
            continue
        readable = composition(primitive)(x, **params, **more)
        assert_allclose(fast.data, readable.data, rtol=1e-12)
        assert_allclose(grad(fast, x, direction(fast)).data, grad(readable, x, direction(fast)).data, atol=1e-12)


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)), out=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_adaptive_pooling_to_any_size(size: Any, out: Any, seed: int) -> None:
    x = Tensor(np.random.default_rng(seed).normal(size=(2, 2, *size)), "float64", requires_grad=True)
    fast, readable = adaptive_avg_pool2d(x, out), composition(adaptive_avg_pool2d)(x, out)
    assert fast.shape == (2, 2, *out)
    assert_allclose(fast.data, readable.data, rtol=1e-12, atol=1e-14)
    assert_allclose(grad(fast, x, direction(fast)).data, grad(readable, x, direction(fast)).data, atol=1e-12)
