"""Rounding to codes and back, against the definition written out number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.quantization import QuantizationError, Scheme, dequantize_rows, pack, unpack

Array = np.ndarray[Any, np.dtype[Any]]


@st.composite
def schemes(draw: st.DrawFn) -> tuple[Scheme, Array]:
    """A scheme, and rows of weights that it divides."""
    bits, symmetric = draw(st.integers(2, 8)), draw(st.booleans())
    group, groups, rows = 2 * draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = 10.0 ** draw(st.integers(-6, 6))
    weights = (rng.normal(size=(rows, group * groups)) + draw(st.sampled_from([0.0, 2.0]))) * scale
    whole = groups == 1 and draw(st.booleans())
    dtype = draw(st.sampled_from(["float32", "float64"]))
    return Scheme(bits, None if whole else group, symmetric), weights.astype(dtype)


def by_hand(scheme: Scheme, rows: Array) -> Array:
    """What is left of each weight, as the papers write it: s * (clip(round(w / s) + z) - z)."""
    size = scheme.group_size or rows.shape[1]
    out = np.empty_like(rows)
    for r in range(len(rows)):
        for start in range(0, rows.shape[1], size):
            group = rows[r, start : start + size]
            if scheme.symmetric:
                least, most, zero = -(2 ** (scheme.bits - 1) - 1), 2 ** (scheme.bits - 1) - 1, 0.0
                s = np.abs(group).max() / rows.dtype.type(most)
            else:
                least, most = 0, 2**scheme.bits - 1
                low, high = min(group.min(), rows.dtype.type(0)), max(group.max(), rows.dtype.type(0))
                s = high / most - low / most
                zero = min(max(np.rint(-low / s), least), most)
            out[r, start : start + size] = s * (np.clip(np.rint(group / s) + zero, least, most) - zero)
    return out


@given(schemes())
def test_codes_stand_for_what_the_definition_says(drawn: tuple[Scheme, Array]) -> None:
    scheme, rows = drawn
    found = dequantize_rows(*scheme.quantize(rows))
    assert found.dtype == rows.dtype
    np.testing.assert_allclose(found, by_hand(scheme, rows), rtol=4 * np.finfo(rows.dtype).eps, atol=0)


@given(schemes())
def test_no_weight_is_off_by_more_than_half_a_scale(drawn: tuple[Scheme, Array]) -> None:
    scheme, rows = drawn
    codes = scheme.quantize(rows)
    off = np.abs(dequantize_rows(*codes) - rows).reshape(*codes.scale.shape, -1)
    reach = 0.5 if scheme.symmetric else 1.0  # the zero point is rounded too, so that an end may be cut by half a scale
    assert (off <= (reach + 1e-4) * codes.scale[..., None]).all()


@given(schemes())
def test_rounding_twice_is_rounding_once_when_symmetric(drawn: tuple[Scheme, Array]) -> None:
    scheme, rows = Scheme(drawn[0].bits, drawn[0].group_size), drawn[1]
    once = scheme.quantize(rows)
    assert np.array_equal(scheme.quantize(dequantize_rows(*once)).weight, once.weight)


@given(schemes())
def test_zero_stays_zero(drawn: tuple[Scheme, Array]) -> None:
    scheme, rows = drawn
    rows[:, 0] = 0
    assert not dequantize_rows(*scheme.quantize(rows))[:, 0].any()


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
def test_layout_and_range_of_the_codes(bits: int, symmetric: bool) -> None:
    rows = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    weight, scale, zero_point = Scheme(bits, 16, symmetric).quantize(rows)
    assert (weight.shape, weight.dtype) == (((2, 16), np.uint8) if bits <= 4 else ((2, 32), np.int8))
    assert weight.flags.c_contiguous
    assert (scale.shape, scale.dtype) == ((2, 2), np.float32)
    assert (zero_point is None) == symmetric
    if zero_point is not None:
        assert (zero_point.shape, zero_point.dtype) == ((2, 2), weight.dtype)
    codes = unpack(weight).astype(int) - 8 if bits <= 4 else weight.astype(int)
    assert codes.max() == 2 ** (bits - 1) - 1
    assert codes.min() == (-(2 ** (bits - 1) - 1) if symmetric else -(2 ** (bits - 1)))


@given(st.lists(st.integers(-8, 7), min_size=2, max_size=20).filter(lambda x: len(x) % 2 == 0))
def test_packing_keeps_the_order(levels: list[int]) -> None:
    packed = pack(np.array([levels], np.int8))
    assert [byte & 15 for byte in packed[0].tolist()] == [level + 8 for level in levels[::2]]
    assert [byte >> 4 for byte in packed[0].tolist()] == [level + 8 for level in levels[1::2]]
    assert (unpack(packed).astype(int) - 8).tolist() == [levels]


def test_zeros_have_codes() -> None:
    for scheme in (Scheme(8), Scheme(4, 2), Scheme(8, symmetric=False), Scheme(3, symmetric=False)):
        codes = scheme.quantize(np.zeros((2, 4), np.float32))
        assert np.isfinite(codes.scale).all() and (codes.scale > 0).all()
        assert not dequantize_rows(*codes).any()


def test_extreme_weights_have_finite_scales() -> None:
    largest = np.float32(0.9) * np.finfo(np.float32).max
    rows = np.array([[-largest, largest, 1e-45, 0]], np.float32)
    for symmetric in (True, False):
        codes = Scheme(8, symmetric=symmetric).quantize(rows)
        assert np.isfinite(codes.scale).all()
        assert abs(dequantize_rows(*codes)[0, 0] / -largest - 1) < 0.01


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("symmetric", [True, False])
def test_what_is_not_finite_is_refused(value: float, symmetric: bool) -> None:
    with pytest.raises(QuantizationError, match="infinity or NaN"):
        Scheme(8, 2, symmetric).quantize(np.array([[1.0, 2.0, value, 0.0]], np.float32))
