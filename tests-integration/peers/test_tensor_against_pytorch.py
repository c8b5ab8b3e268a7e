"""Tensors share memory with PyTorch's, and have the same values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch.tensor as tt
from tinytorch.autograd import enable_autograd, grad
from tinytorch.tensor import Tensor, from_dlpack

pytestmark = pytest.mark.peers

enable_autograd()
DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_pytorch_sees_the_memory_of_a_tensor(dtype: str, shape: tuple[int, ...]) -> None:
    ours = Tensor(np.ones(shape), dtype)
    theirs = torch.from_dlpack(ours)
    assert str(theirs.dtype) == f"torch.{dtype}"
    assert tuple(theirs.shape) == shape
    ours.data[...] = 0
    assert not theirs.any()
    theirs.fill_(1)
    assert ours.data.all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_a_tensor_sees_the_memory_of_pytorch(dtype: str, shape: tuple[int, ...]) -> None:
    theirs = torch.ones(shape, dtype=getattr(torch, dtype))
    ours = from_dlpack(theirs)
    assert ours.dtype == dtype
    assert ours.shape == shape
    theirs.fill_(0)
    assert not ours.data.any()
    ours.data[...] = 1
    assert theirs.all()


def test_strides_go_along() -> None:
    ours = Tensor(np.arange(12.0).reshape(3, 4))
    theirs = torch.from_dlpack(ours.T[1:, ::2])
    np.testing.assert_array_equal(theirs.numpy(), ours.data.T[1:, ::2])
    theirs[0, 0] = 100.0
    assert ours[0, 1].item() == 100.0
    back = from_dlpack(theirs.T)
    assert np.shares_memory(back.data, ours.data)


def test_memory_outlives_the_side_it_came_from() -> None:
    theirs = torch.from_dlpack(Tensor([1.0, 2.0]))
    ours = from_dlpack(torch.tensor([3.0, 4.0]))
    assert theirs.tolist() == [1.0, 2.0]
    assert ours.tolist() == [3.0, 4.0]


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises((BufferError, RuntimeError)):
        from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises((BufferError, RuntimeError)):
        from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="run backwards"):
        torch.from_dlpack(Tensor([1.0, 2.0])[::-1])  # PyTorch has no negative strides
    assert torch.from_dlpack(Tensor([1.0, 2.0])[::-1].copy()).tolist() == [2.0, 1.0]


def drawn(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, Any]:
    """Numbers between 0.3 and 2 of either sign, in which every other one is equal to another."""
    generator = np.random.default_rng(seed)
    return generator.choice([-1.0, 1.0], shape) * generator.integers(3, 21, shape) / 10


def compare(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray[Any, Any]) -> None:
    """Values, and gradients in a random direction, in float64."""
    xs = [Tensor(array.copy(), "float64", requires_grad=True) for array in arrays]
    peers = [torch.tensor(array, requires_grad=True) for array in arrays]
    out, expected = ours(*xs), theirs(*peers)
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    direction = np.random.default_rng(0).standard_normal(out.shape)
    found = grad(out, xs, Tensor(direction, "float64"), allow_unused=True)
    wanted = torch.autograd.grad(expected, peers, torch.tensor(direction), allow_unused=True)
    for gradient, peer in zip(found, wanted, strict=True):
        assert (gradient is None) == (peer is None)
        if gradient is not None:
            np.testing.assert_allclose(gradient.data, peer.numpy(), rtol=1e-10, atol=1e-12)


BINARY: dict[str, Callable[..., Any]] = {
    "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.div, "maximum": torch.maximum,
    "minimum": torch.minimum, "remainder": torch.remainder,
}  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=25, deadline=None)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0),
    seed=st.integers(0, 99),
)
def test_broadcasting(name: str, shapes: Any, seed: int) -> None:
    x, y = (drawn(shape, seed + i) for i, shape in enumerate(shapes.input_shapes))
    compare(getattr(tt, name), BINARY[name], x, y)


@settings(max_examples=50, deadline=None)
@given(
    shapes=hnp.mutually_broadcastable_shapes(signature="(n,k),(k,m)->(n,m)", max_dims=2, max_side=3), seed=st.integers()
)
def test_matrix_products(shapes: Any, seed: int) -> None:
    x, y = (drawn(shape, abs(seed) + i) for i, shape in enumerate(shapes.input_shapes))
    compare(tt.matmul, torch.matmul, x, y)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin,
    "var": lambda x, dim, keepdim: torch.var(x, dim, correction=0, keepdim=keepdim),
    "std": lambda x, dim, keepdim: torch.std(x, dim, correction=0, keepdim=keepdim),
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), keepdims=st.booleans())
def test_reductions(name: str, data: Any, shape: tuple[int, ...], keepdims: bool) -> None:
    axes = data.draw(st.lists(st.integers(-len(shape), -1), min_size=1, max_size=len(shape), unique=True).map(tuple))
    x = drawn(shape, data.draw(st.integers(0, 99)))
    if name == "std":
        x = x + 1e-3 * np.arange(x.size).reshape(shape)  # equal elements have no standard deviation to differentiate
    if name == "std" and np.prod([shape[axis] for axis in axes]) == 1:
        return
    ours = getattr(tt, name)
    compare(
        lambda x: ours(x, axis=axes, keepdims=keepdims), lambda x: REDUCTIONS[name](x, dim=axes, keepdim=keepdims), x
    )


@pytest.mark.parametrize("zeros", [0, 1, 2])
@settings(max_examples=10, deadline=None)
@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=4), seed=st.integers(0, 99))
def test_products_and_running_sums(zeros: int, shape: tuple[int, ...], seed: int) -> None:
    x = drawn(shape, seed)
    x.reshape(-1)[:zeros] = 0.0
    compare(lambda x: x.prod(), torch.prod, x)
    compare(lambda x: x.prod(axis=-1), lambda x: x.prod(-1), x)
    compare(lambda x: x.cumsum(0), lambda x: x.cumsum(0), x)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
def test_basic_indexing(data: Any, shape: tuple[int, ...]) -> None:
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts):
        return  # PyTorch has no negative steps
    compare(lambda x: x[index], lambda x: x[index], drawn(shape, 0))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
def test_indexing_with_arrays(data: Any, shape: tuple[int, ...]) -> None:
    count = data.draw(st.integers(1, len(shape)))
    small = hnp.array_shapes(min_dims=1, max_dims=2, max_side=3)
    places = data.draw(small)
    index = tuple(
        data.draw(hnp.arrays(np.int64, places, elements=st.integers(-shape[axis], shape[axis] - 1)))
        for axis in range(count)
    )
    x = drawn(shape, 1)
    compare(lambda x: x[index], lambda x: x[tuple(map(torch.tensor, index))], x)
    mask = data.draw(hnp.arrays(np.bool_, shape))
    compare(lambda x: x[mask], lambda x: x[torch.tensor(mask)], x)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
def test_gather_and_scatter_add(data: Any, shape: tuple[int, ...]) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    places = tuple(
        data.draw(st.integers(1, 5)) if each == axis else data.draw(st.integers(1, n)) for each, n in enumerate(shape)
    )
    index = data.draw(hnp.arrays(np.int64, places, elements=st.integers(0, shape[axis] - 1)))
    x, source, there = drawn(shape, 2), drawn(places, 3), torch.tensor(index)
    compare(lambda x: x.gather(index, axis), lambda x: x.gather(axis, there), x)
    compare(lambda x, s: x.scatter_add(index, s, axis), lambda x, s: x.scatter_add(axis, there, s), x, source)


@st.composite
def contractions(draw: Any) -> tuple[str, list[tuple[int, ...]]]:
    """One to three operands over four letters, some of them summed away, and the shapes of the operands."""
    sizes = {letter: draw(st.integers(1, 3)) for letter in "abcd"}
    terms = draw(st.lists(st.text("abcd", min_size=1, max_size=3), min_size=1, max_size=3))
    known = sorted(set("".join(terms)))
    result = "".join(draw(st.permutations(known))[: draw(st.integers(0, len(known)))])
    return ",".join(terms) + "->" + result, [tuple(sizes[letter] for letter in term) for term in terms]


@settings(max_examples=150, deadline=None)
@given(contraction=contractions())
def test_einsum(contraction: tuple[str, list[tuple[int, ...]]]) -> None:
    spec, shapes = contraction
    operands = [drawn(shape, i) for i, shape in enumerate(shapes)]
    compare(lambda *xs: tt.einsum(spec, *xs), lambda *xs: torch.einsum(spec, *xs), *operands)


@pytest.mark.parametrize("name", ["max", "min", "maximum", "minimum"])
def test_a_nan_gets_the_gradient_that_pytorch_gives_it(name: str) -> None:
    x = np.array([1.0, np.nan, 2.0, 2.0])
    if name in ("max", "min"):
        compare(lambda x: getattr(x, name)(), lambda x: getattr(x, name)(), x)
    else:
        compare(getattr(tt, name), getattr(torch, name), x, np.array([2.0, 1.0, 2.0, np.nan]))
