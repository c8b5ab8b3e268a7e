"""Rules where inputs are empty, infinite, zero, equal, or too many for float16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.autograd import grad, gradcheck, gradgradcheck
from tinytorch.tensor import Tensor

INF, NAN = float("inf"), float("nan")


def leaf(values: Any, dtype: Any = "float64") -> Tensor:
    return Tensor(values, dtype, requires_grad=True)


EMPTY: list[tuple[str, Callable[..., Any], list[tuple[int, ...]]]] = [
    ("prod of no rows", lambda x: x.prod(axis=1), [(0, 3)]),
    ("prod of empty rows", lambda x: x.prod(axis=1), [(3, 0)]),
    ("prod over no axis", lambda x: x.prod(axis=()), [(0, 3)]),
    ("stack @ matrix without inner elements", lambda x, y: x @ y, [(2, 3, 0), (0, 4)]),
    ("stack @ matrix without columns", lambda x, y: x @ y, [(2, 3, 4), (4, 0)]),
    ("empty stack @ matrix", lambda x, y: x @ y, [(0, 3, 4), (4, 2)]),
    ("empty stack @ vector", lambda x, y: x @ y, [(0, 3, 4), (4,)]),
    ("stack @ vector without elements", lambda x, y: x @ y, [(2, 3, 0), (0,)]),
]


@pytest.mark.parametrize(("function", "shapes"), [case[1:] for case in EMPTY], ids=[case[0] for case in EMPTY])
def test_empty_inputs_have_empty_or_zero_gradients(function: Callable[..., Any], shapes: list[Any]) -> None:
    inputs = [leaf(np.ones(shape)) for shape in shapes]
    function(*inputs).sum().backward()
    assert [x.grad.shape for x in inputs] == shapes
    gradcheck(function, inputs)
    gradgradcheck(function, inputs)


SPECIAL: list[tuple[str, Callable[..., Any], list[float], list[float]]] = [
    ("zeroth power of anything", lambda x: x ** Tensor(np.zeros(4), "float64"), [INF, -INF, NAN, 0.0], [0.0] * 4),
    ("std of equal elements", lambda x: x.std(), [2.0, 2.0, 2.0], [0.0] * 3),
    ("remainders that rounding decides", lambda y: 1.0 % y, [0.1], [-9.0]),
    ("remainder of infinity", lambda y: INF % y, [2.0], [NAN]),
    ("zero to a power", lambda y: 0.0**y, [2.0, 0.0, -1.0], [0.0, 0.0, -INF]),
    ("zeros to a power", lambda y: Tensor(np.zeros(3), "float64") ** y, [2.0, 0.0, -1.0], [0.0, 0.0, -INF]),
]


@pytest.mark.parametrize(("function", "values", "slopes"), [case[1:] for case in SPECIAL], ids=[c[0] for c in SPECIAL])
def test_slopes_are_pytorchs(function: Callable[..., Any], values: list[float], slopes: list[float]) -> None:
    x = leaf(values)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(grad(function(x).sum(), x).data, slopes)
        np.testing.assert_array_equal(grad(function(x).sum(), x, create_graph=True).data, slopes)


def test_the_slope_of_equal_elements_warns_of_nothing() -> None:
    x = leaf([2.0, 2.0])
    x.std().backward()  # a warning is an error
    (0.0 ** leaf([2.0, 0.0])).sum().backward()


@pytest.mark.parametrize("name", ["mean", "max", "var", "std"])
def test_float16_counts_beyond_its_largest_number(name: str) -> None:
    values = np.zeros(70_000) if name == "max" else np.linspace(-1, 1, 70_000).astype("float16")
    narrow, wide = leaf(values, "float16"), leaf(values)
    for x in (narrow, wide):
        getattr(x, name)().backward()
    np.testing.assert_allclose(narrow.grad.data[-1], wide.grad.data[-1], rtol=0.01)
    recorded = grad(getattr(narrow, name)(), narrow, create_graph=True)
    np.testing.assert_allclose(recorded.data[-1], wide.grad.data[-1], rtol=0.01)


def test_matrix_products_of_float16_are_summed_in_float32() -> None:
    x, y = leaf(np.ones((10_000, 2)), "float16"), leaf(np.ones(2), "float16")
    (x @ y).backward(np.ones(10_000))
    assert y.grad.tolist() == [10_000.0, 10_000.0]


def test_the_gradients_of_einsum_are_computed_as_fast_as_einsum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the primitive, which plans the order of the products: a chain of three is n^3, not n^4."""
    specs: list[str] = []
    einsum = np.einsum

    def noted(spec: str, *operands: Any, optimize: bool) -> Any:
        specs.append(spec)
        return einsum(spec, *operands, optimize=optimize)

    monkeypatch.setattr(np, "einsum", noted)
    inputs = [leaf(np.ones((2, 2))) for _ in range(3)]
    tt.einsum("ab,bc,cd->ad", *inputs).sum().backward()
    assert specs == ["ab,bc,cd->ad", "ad,bc,cd->ab", "ad,ab,cd->bc", "ad,ab,bc->cd"]
