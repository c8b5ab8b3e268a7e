"""The dtype of a result follows from the tensors it was made from; nothing loses digits on the way there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.tensor import Tensor

DOUBLES: list[Any] = [np.array([0.1, 0.2]), [0.1, 0.2], (0.1, 0.2)]


@pytest.fixture
def double_by_default() -> Iterator[None]:
    tt.set_default_dtype("float64")
    yield
    tt.set_default_dtype("float32")


@pytest.mark.parametrize("raw", DOUBLES)
def test_arrays_and_lists_keep_their_digits_beside_a_float64_tensor(raw: Any) -> None:
    t = Tensor([3.0, 7.0], "float64")
    for result in (t * raw, raw * t, tt.multiply(t, raw)):
        np.testing.assert_array_equal(result.data, np.array([3.0, 7.0]) * np.asarray(raw))
        assert result.dtype == np.float64
    assert (t @ raw).item() == np.dot([3.0, 7.0], np.asarray(raw))
    assert tt.where([True, False], t, raw).tolist() == [3.0, 0.2]
    assert tt.concat([t, raw]).tolist() == [3.0, 7.0, 0.1, 0.2]


@pytest.mark.parametrize("raw", DOUBLES)
def test_a_raw_operand_is_rounded_after_computing_not_before(raw: Any) -> None:
    t = Tensor([3.0, 7.0])
    expected = (np.array([3.0, 7.0]) * np.asarray(raw)).astype(np.float32)
    assert (t * raw).dtype == np.float32
    np.testing.assert_array_equal((t * raw).data, expected)


NARROW, WIDE, DOUBLE, WHOLE = (Tensor([1, 2], name) for name in ("float16", "float32", "float64", "int64"))
RESULTS: list[tuple[str, Callable[[], Tensor], str]] = [
    ("two float tensors give the wider", lambda: NARROW * WIDE, "float32"),
    ("a raw float64 array does not widen", lambda: NARROW * np.ones(2), "float16"),
    ("a raw float32 array does not widen", lambda: NARROW * np.ones(2, np.float32), "float16"),
    ("a raw float16 array does not narrow", lambda: WIDE * np.ones(2, np.float16), "float32"),
    ("an integer tensor does not widen", lambda: WIDE * WHOLE, "float32"),
    ("an integer array does not widen", lambda: WIDE * np.arange(2), "float32"),
    ("float64 stays", lambda: DOUBLE * np.ones(2, np.float32), "float64"),
    ("float64 stays beside float32", lambda: DOUBLE * WIDE, "float64"),
    ("NumPy's scalars are numbers", lambda: WIDE * np.float64(2), "float32"),
    ("integers divide to the default", lambda: WHOLE / WHOLE, "float32"),
    ("an integer and a raw float64 array give the default", lambda: WHOLE * np.ones(2), "float32"),
    ("narrow integers too", lambda: Tensor([1], "int8").exp(), "float32"),
    ("and booleans", lambda: Tensor([True]).exp(), "float32"),
    ("a float power of integers is a float", lambda: WHOLE**2.0, "float32"),
    ("an integer power of integers is an integer", lambda: WHOLE**2, "int64"),
    ("three inputs", lambda: tt.where([True, False], NARROW, np.ones(2)), "float16"),
]


@pytest.mark.parametrize(("make", "dtype"), [case[1:] for case in RESULTS], ids=[case[0] for case in RESULTS])
def test_dtype_of_a_result(make: Callable[[], Tensor], dtype: str) -> None:
    assert make().dtype == dtype


def test_another_default_dtype_is_what_results_without_a_float_tensor_get(double_by_default: None) -> None:
    assert Tensor([1.0]).dtype == np.float64
    assert (WHOLE / 2).dtype == Tensor([1], "int16").exp().dtype == np.float64
    assert (WIDE * WHOLE).dtype == np.float32
    assert (WHOLE * np.ones(2, np.float32)).dtype == np.float64


def test_bytes_in_the_order_of_another_machine_are_turned() -> None:
    t = Tensor(np.array([1.5, 2.0], ">f8"))
    assert t.dtype == np.float32
    assert t.dtype.isnative
    assert Tensor(np.array([1, 2], ">i4")).tolist() == [1, 2]


def test_unsigned_integers_beyond_int64_are_not_wrapped_around() -> None:
    with pytest.raises(OverflowError, match=r"9223372036854775808 is beyond int64; give dtype=uint64"):
        Tensor([2**63])
    assert Tensor([2**63], "uint64").tolist() == [2**63]


def test_fractions_are_not_cut_off() -> None:
    whole = tt.zeros(2, dtype="int64")
    whole[0] = 3.0
    assert whole.tolist() == [3, 0]
    assert tt.full_like(whole, 2.0).tolist() == [2, 2]
    for wrong in (
        lambda: whole.__setitem__(0, 1.5),
        lambda: whole.__setitem__(slice(None), Tensor([1.0, float("nan")])),
        lambda: whole.pad(1, value=0.5),
        lambda: tt.full_like(whole, 0.5),
    ):
        with pytest.raises(TypeError, match="a fraction does not fit dtype int64"):
            wrong()
    assert whole.tolist() == [3, 0]


@pytest.mark.parametrize("integer", ["int8", "uint8", "int16", "uint16", "int32", "int64", "bool"])
def test_integers_never_widen_a_tensor_of_halves(integer: str) -> None:
    half, whole = Tensor([1.5], "float16"), Tensor([1], integer)
    assert (half * whole).dtype == (whole + half).dtype == np.float16
    assert (tt.ones(1, dtype="float16") - whole).dtype == np.float16


@pytest.mark.parametrize("integer", ["int8", "uint8", "bool", "int16"])
@pytest.mark.parametrize("default", ["float32", "float64"])
def test_functions_of_narrow_integers_have_all_digits(integer: str, default: str) -> None:
    values = np.array([0, 1], integer)
    before = tt.default_dtype()
    tt.set_default_dtype(default)
    try:
        for operation, reference in ((tt.exp, np.exp), (tt.cos, np.cos), (tt.sqrt, np.sqrt)):
            np.testing.assert_array_equal(operation(Tensor(values)).data, reference(values.astype(default)))
        np.testing.assert_array_equal((Tensor(values) / 3).data, values.astype(default) / 3)
    finally:
        tt.set_default_dtype(before)
