"""The rule of every primitive equals finite differences, and so do the second derivatives of what is smooth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch.tensor as tt
from tinytorch.autograd import gradcheck, gradgradcheck, refusals, rules
from tinytorch.tensor import Tensor


def apart(shape: tuple[int, ...], seed: int, low: float = -2.0, high: float = 2.0) -> Tensor:
    """Numbers that keep away from each other and from zero, so that no finite difference steps over a kink."""
    size = int(np.prod(shape))
    grid = np.linspace(low, high, size + 2)[1:-1] + 0.013
    return Tensor(np.random.default_rng(seed).permutation(grid).reshape(shape), "float64", requires_grad=True)


def positive(shape: tuple[int, ...], seed: int) -> Tensor:
    return apart(shape, seed, 0.3, 2.0)


def narrow(shape: tuple[int, ...], seed: int) -> Tensor:
    return apart(shape, seed, -0.85, 0.85)


def computed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of tensors that were computed, whose arrays are kept only where a rule says so."""
    return lambda *inputs: function(*(tt.alias(x) for x in inputs))


UNARY: dict[str, Callable[..., Any]] = {
    "negative": apart, "abs": apart, "sign": apart, "floor": apart, "ceil": apart, "round": apart, "exp": apart,
    "log": positive, "sqrt": positive, "tanh": apart, "sin": apart, "cos": apart, "copy": apart, "alias": apart,
    "square": apart, "expm1": apart, "log1p": positive, "log2": positive, "log10": positive, "reciprocal": positive,
    "tan": narrow, "arcsin": narrow, "arccos": narrow, "arctan": apart, "sinh": apart, "cosh": apart,
}  # fmt: skip
BINARY: dict[str, Callable[..., Any]] = {
    "add": apart, "subtract": apart, "multiply": apart, "divide": positive, "power": positive, "maximum": apart,
    "minimum": apart, "floor_divide": positive, "remainder": positive, "arctan2": apart,
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=10)
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), seed=st.integers(0, 99))
def test_unary(name: str, shape: tuple[int, ...], seed: int) -> None:
    x = UNARY[name](shape, seed)
    gradcheck(computed(getattr(tt, name)), x)
    gradgradcheck(lambda x: getattr(tt, name)(x * x + 0.1), x)


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=10)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3, min_side=0),
    seed=st.integers(0, 99),
)
def test_binary_with_broadcasting(name: str, shapes: Any, seed: int) -> None:
    x, y = (BINARY[name](shape, seed + i) for i, shape in enumerate(shapes.input_shapes))
    y = Tensor(y.data * 1.3, "float64", requires_grad=True)
    gradcheck(computed(getattr(tt, name)), [x, y])
    if name not in ("floor_divide", "remainder"):
        gradgradcheck(computed(getattr(tt, name)), [x, y])


AXES: list[Any] = [None, 0, -1, (0, 2), (0, 1, 2)]


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "max", "min", "prod", "logsumexp", "norm"])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(name: str, axis: Any, keepdims: bool) -> None:
    x = apart((2, 2, 3), 0)
    gradcheck(computed(lambda x: getattr(x, name)(axis=axis, keepdims=keepdims)), x)
    gradgradcheck(computed(lambda x: getattr(x, name)(axis=axis, keepdims=keepdims)), x)


CASES: list[tuple[str, Callable[..., Any], list[tuple[int, ...]]]] = [
    ("power of a square", lambda x: x**2, [(3,)]),
    ("power of a number", lambda x: 2**x, [(3,)]),
    ("cube", lambda x: x**3, [(3,)]),
    *((f"power of {y}", lambda x, y=y: (x * x + 0.1) ** y, [(3,)]) for y in (-2, -1.5, -1, -0.5, 0.5, 1.5, 2.5, 4)),
    ("zeroth power", lambda x: x**0, [(3,)]),
    ("prod with one zero", lambda x: (x * Tensor([0.0, 1, 1], "float64")).prod(), [(3,)]),
    ("prod with two zeros", lambda x: (x * Tensor([0.0, 1, 0], "float64")).prod(), [(3,)]),
    ("var with correction", lambda x: x.var(1, correction=1), [(2, 3)]),
    ("clip", lambda x: x.clip(-0.5, 0.5), [(5,)]),
    ("clip from below", lambda x: x.clip(low=0.1), [(5,)]),
    ("where", lambda x, y: tt.where(np.array([True, False, True]), x, y), [(2, 3), (3,)]),
    ("astype", lambda x: x.astype("float64"), [(3,)]),
    ("cumsum", lambda x: x.cumsum(1), [(2, 3)]),
    ("sort", lambda x: x.sort(0)[0], [(3, 2)]),
    ("topk", lambda x: x.topk(2)[0], [(2, 3)]),
    ("reshape", lambda x: x.reshape(3, -1), [(2, 3)]),
    ("sum of absolute values", lambda x: x.norm(1, 0), [(2, 3)]),
    ("largest absolute value", lambda x: x.norm(np.inf, (0, 2)), [(2, 2, 3)]),
    ("logsumexp next to minus infinity", lambda x: x.masked_fill(np.eye(3) > 0, -np.inf).logsumexp(0), [(3, 3)]),
    ("cumprod", lambda x: x.cumprod(-1), [(2, 6)]),
    ("cumprod of all", lambda x: x.cumprod(), [(2, 3)]),
    ("cumprod with zeros", lambda x: (x * Tensor([0.0, 1, 0, 1, 1], "float64")).cumprod(0), [(5,)]),
    ("median", lambda x: x.median(1), [(2, 5)]),
    ("median of an even number", lambda x: x.median(keepdims=True), [(2, 3)]),
    ("round to decimals", lambda x: x.round(1) + x, [(4,)]),
    ("masked_fill", lambda x, y: x.masked_fill(np.array([True, False, True]), y), [(2, 3), ()]),
    ("where, as a method", lambda x, y: x.where(np.array([True, False, True]), y), [(2, 3), (3,)]),
    ("swapaxes", lambda x: x.swapaxes(0, -1), [(2, 3, 2)]),
    ("moveaxis", lambda x: x.moveaxis((0, -1), (1, 0)), [(2, 3, 2)]),
    ("roll", lambda x: x.roll(-4), [(2, 3)]),
    ("roll of one axis", lambda x: x.roll(2, -1), [(2, 3)]),
    ("roll of two axes", lambda x: x.roll((1, -1), (1, 0)), [(2, 3)]),
    ("roll by a list, by a tensor", lambda x: x.roll([1, -1], (1, 0)) * x.roll(Tensor(2)), [(2, 3)]),
    ("repeat", lambda x: x.repeat(2, 0) * 2, [(2, 3)]),
    ("repeat by number", lambda x: x.repeat([0, 3, 1], -1), [(2, 3)]),
    ("tile", lambda x: x.tile(2, 1, 2), [(2, 3)]),
    ("chunk", lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1], [(2, 4)]),
    ("unbind", lambda x: x.unbind()[0] * x.unbind()[1], [(2, 3)]),
    ("diagonal", lambda x: x.diagonal(-1, 2, 0), [(3, 2, 2)]),
    ("diag of a vector", lambda x: x.diag(1), [(3,)]),
    ("diag of a matrix", lambda x: x.diag(1), [(3, 4)]),
    ("trace", lambda x: x.trace(), [(3, 2)]),
    ("outer", lambda x, y: x.outer(y), [(2,), (3,)]),
    ("take", lambda x: x.take([[0, 5], [5, 5]]), [(2, 3)]),
    ("take along the last axis", lambda x: x.take([[0, 2], [2, -1]], -1), [(2, 2, 3)]),
    ("columns by a matrix", lambda x: x[:, np.array([[0, -1], [1, 1]])], [(2, 3, 2)]),
    ("columns, one", lambda x: x[:, np.array(1)], [(2, 3)]),
    ("no columns", lambda x: x[:, np.zeros(0, int)], [(2, 3)]),
    ("rows of columns", lambda x: x[:, :, np.array([1, 1, 0])], [(2, 2, 2)]),
    ("rows and columns", lambda x: x[1:, np.array([1, 1, 0])], [(3, 2)]),
    ("norms by numpy", lambda x: np.linalg.norm(x, axis=1) + np.linalg.vector_norm(x, ord=1), [(2, 3)]),
    ("T", lambda x: x.T, [(2, 3)]),
    ("permute", lambda x: x.permute(2, 0, 1), [(2, 3, 2)]),
    ("permute from behind", lambda x: x.permute(-1, 0, 1), [(2, 3, 2)]),
    ("transpose", lambda x: x.transpose(0, 1), [(2, 3)]),
    ("squeeze", lambda x: x.unsqueeze(0).squeeze(), [(2,)]),
    ("flatten", lambda x: x.flatten(1), [(2, 2, 2)]),
    ("broadcast_to", lambda x: x.broadcast_to((4, 2, 3)), [(2, 1)]),
    ("expand", lambda x: x.expand(4, -1, -1), [(2, 1)]),
    ("flip", lambda x: x.flip(0), [(3, 2)]),
    ("pad", lambda x: x.pad(((1, 2), (0, 1))), [(2, 3)]),
    ("pad every side", lambda x: x.pad(1, value=3.0), [(2, 3)]),
    ("tril", lambda x: x.tril(), [(3, 3)]),
    ("triu", lambda x: x.triu(1), [(2, 3, 3)]),
    ("concat", lambda x, y: tt.concat([x, y, x], -1), [(2, 3), (2, 1)]),
    ("concat in one row", lambda x, y: tt.concat([x, y], None), [(2, 3), (2, 1)]),
    ("stack", lambda x, y: tt.stack([x, y], 1), [(2, 3), (2, 3)]),
    ("split", lambda x: x.split(2)[1] * 2 + x.split(2)[0][:1], [(3, 2)]),
    ("basic index", lambda x: x[1:, None, 0], [(3, 2)]),
    ("strided index", lambda x: x[::-2], [(5,)]),
    ("rows, some twice", lambda x: x[[0, 0, 2]], [(3, 2)]),
    ("rows by a matrix", lambda x: x[np.array([[0, -1], [1, 1]])], [(3, 2)]),
    ("elements, some twice", lambda x: x[[0, 0, 2], [1, 1, 0]], [(3, 2)]),
    ("mask", lambda x: x[np.array([True, False, True])], [(3, 2)]),
    ("empty index", lambda x: x[np.zeros(0, int)], [(3, 2)]),
    ("gather", lambda x: x.gather(np.array([[0, 0], [1, 0]]), 1), [(2, 3)]),
    ("scatter_add", lambda x, s: x.scatter_add(np.array([[0, 0], [1, 0]]), s, 1), [(2, 3), (2, 2)]),
    ("matrix @ matrix", lambda x, y: x @ y, [(2, 3), (3, 4)]),
    ("vector @ vector", lambda x, y: x @ y, [(3,), (3,)]),
    ("vector @ matrix", lambda x, y: x @ y, [(3,), (3, 2)]),
    ("matrix @ vector", lambda x, y: x @ y, [(2, 3), (3,)]),
    ("stack @ matrix", lambda x, y: x @ y, [(2, 2, 3), (3, 2)]),
    ("stack @ stack, broadcast", lambda x, y: x @ y, [(2, 1, 2, 3), (2, 3, 2)]),
    ("vector @ stack", lambda x, y: x @ y, [(3,), (2, 3, 2)]),
    ("stack @ vector", lambda x, y: x @ y, [(2, 2, 3), (3,)]),
    ("einsum", lambda x, y: tt.einsum("bij,bjk->ik", x, y), [(2, 2, 3), (2, 3, 2)]),
    ("einsum of a diagonal", lambda x: tt.einsum("ii->i", x), [(3, 3)]),
    ("einsum trace", lambda x: tt.einsum("ii", x), [(3, 3)]),
    ("einsum with a letter summed alone", lambda x: tt.einsum("ij->j", x), [(2, 3)]),
    ("einsum with an ellipsis", lambda x, y: tt.einsum("...i,i->...", x, y), [(2, 3), (3,)]),
    ("einsum with a size 1 repeated", lambda x, y: tt.einsum("ij,jk->ik", x, y), [(2, 1), (3, 4)]),
    ("einsum of three", lambda x, y, z: tt.einsum("i,ij,j->", x, y, z), [(2,), (2, 3), (3,)]),
    ("numpy's own functions", lambda x: np.sum(np.tanh(np.swapaxes(x, 0, 1)) * np.square(x.T), axis=0), [(2, 3)]),
]


@pytest.mark.parametrize(("function", "shapes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_first_and_second_derivatives(function: Callable[..., Any], shapes: list[tuple[int, ...]]) -> None:
    inputs = [apart(shape, seed) for seed, shape in enumerate(shapes)]
    gradcheck(computed(function), inputs)
    gradgradcheck(computed(function), inputs)


def test_equal_elements_share_the_gradient_of_a_maximum() -> None:
    x = Tensor([1.0, 3.0, 3.0], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0.0, 0.5, 0.5]
    y = Tensor([3.0], requires_grad=True)
    y.maximum(Tensor([3.0])).backward()
    assert y.grad.tolist() == [0.5]


def test_every_primitive_has_a_rule_or_a_reason() -> None:
    own = {p for name, p in tt.registry.items() if name.startswith("tinytorch.tensor.")}
    assert {p.name for p in own if p not in rules} == {p.name for p in own & refusals.keys()} == {"setitem"}
    for primitive in own & rules.keys():
        rule = rules[primitive]
        assert bool(rule.reason) != bool(rule.vjps or rule.jointly or rule.fused)
