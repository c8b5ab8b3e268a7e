"""Results are compared wherever numbers stand in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.benchmarking import ResultsDifferError, compare
from tinytorch.benchmarking.equality import check_equal, flatten
from tinytorch.tensor import Tensor, TinyTorchError

leaves = st.none() | st.floats(allow_nan=True) | st.integers(-(2**40), 2**40) | st.text("abc") | st.booleans()
results = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("kl"), inner), max_leaves=9
)


def same(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8) -> None:
    check_equal(("first", "second"), flatten(a), flatten(b), rtol, atol)


@given(results)
def test_result_equals_itself(result: Any) -> None:
    same(result, result)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Tensor([1.0, 2.0]), np.array([1.0, 2.0])),
        ([1.0, 2.0], (1, 2)),
        (np.float32(0.1), 0.1),
        ([np.nan, np.inf], [np.nan, np.inf]),
        (None, 3.0),
        ({"a": 1, "b": [2, None]}, {"b": [2, None], "a": 1}),
        (1 + 2j, np.complex64(1 + 2j)),
        ("text", "text"),
    ],
)
def test_equal_results_pass(a: Any, b: Any) -> None:
    same(a, b)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ([1.0, 2.0, 3.0], [1.0, 9.0, 4.0], r"2 of 3 numbers differ,\nmost at \(1,\): 9.0 and 2.0"),
        ([np.nan], [1.0], r"1 of 1 numbers differ"),
        ([np.inf], [-np.inf], r"-inf and inf"),
        (np.ones((2, 3)), np.ones((3, 2)), r"shapes \(3, 2\) and \(2, 3\)"),
        ({"a": 1.0}, {"b": 1.0}, r"only one of them has result\['a'\], result\['b'\]"),
        ({"a": [1.0, [2.0, "x"]]}, {"a": [1.0, [2.0, "y"]]}, r"at result\['a'\]\[1\]\[1\]: 1 of 1 texts differ"),
        ("x", 1.0, "text and numbers"),
        (1 + 2j, 1 - 2j, "1 of 1 numbers differ"),
    ],
)
def test_difference_is_named(a: Any, b: Any, says: str) -> None:
    with pytest.raises(ResultsDifferError, match=says) as caught:
        same(a, b)
    assert "'second' does not return what 'first' returns" in str(caught.value)
    assert str(caught.value).count("\n") <= 1
    assert isinstance(caught.value, TinyTorchError | ValueError)


@given(st.floats(-1e3, 1e3), st.floats(-1.0, 1.0), st.floats(1e-6, 0.5), st.floats(1e-6, 0.5))
def test_tolerance_is_that_of_numpy(x: float, off: float, rtol: float, atol: float) -> None:
    if np.isclose(x + off, x, rtol=rtol, atol=atol):
        same(x, x + off, rtol, atol)
    else:
        with pytest.raises(ResultsDifferError):
            same(x, x + off, rtol, atol)


def test_unequal_functions_are_not_compared_and_the_third_is_named() -> None:
    with pytest.raises(ResultsDifferError, match="'c' does not return what 'a' returns"):
        compare({"a": lambda: 1.0, "b": lambda: 1.0, "c": lambda: 2.0}, turns=2, seconds=1e-4)


def test_difference_can_be_accepted() -> None:
    assert compare({"a": lambda: 1.0, "b": lambda: 1.1}, turns=2, seconds=1e-4, rtol=0.2).notes is not None
    found = compare({"a": lambda: 1.0, "b": lambda: 2.0}, turns=2, seconds=1e-4, check=False)
    assert "the results were not all compared" in found.notes


def test_what_returns_nothing_is_noted_and_does_not_hide_the_others() -> None:
    found = compare({"a": lambda: None, "b": lambda: 1.0, "c": lambda: 1.0}, turns=2, seconds=1e-4)
    assert not found.settings["checked"]
    assert "the results were not all compared" in found.notes
    with pytest.raises(ResultsDifferError, match="'c' does not return what 'b' returns"):
        compare({"a": lambda: None, "b": lambda: 1.0, "c": lambda: 2.0}, turns=2, seconds=1e-4)


def test_result_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="made of numbers or text"):
        flatten({"a": object()})
