"""The fused primitive is the readable composition, in less memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.attention import attention, causal_mask, scaled_dot_product_attention, tiles
from tinytorch.autograd import grad, gradcheck, gradgradcheck
from tinytorch.tensor import Tensor

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "attention.npz", allow_pickle=False))


@pytest.fixture(params=["one tile", "many tiles"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small inputs fit into one tile; here they are cut into many as well."""
    if request.param == "many tiles":
        monkeypatch.setattr(tiles, "ROWS", (2, 2))
        monkeypatch.setattr(tiles, "SCORES_BYTES", 100)
    yield


def heads(rng: np.random.Generator, *shape: int) -> Tensor:
    return Tensor(rng.standard_normal(shape), "float64", requires_grad=True)


MASKS: dict[str, Callable[[np.random.Generator, int, int, int, int], Any]] = {
    "none": lambda rng, B, H, T, S: None,
    "boolean": lambda rng, B, H, T, S: rng.random((B, H, T, S)) < 0.5,
    "zero or one": lambda rng, B, H, T, S: (rng.random((T, S)) < 0.5).astype(np.int64),
    "padding": lambda rng, B, H, T, S: rng.random((B, 1, 1, S)) < 0.5,
    "added": lambda rng, B, H, T, S: heads(rng, H, T, S),
    "added to all": lambda rng, B, H, T, S: heads(rng, 1, 1, S),
    "minus infinity": lambda rng, B, H, T, S: np.where(rng.random((B, 1, T, S)) < 0.5, 0.0, -np.inf),
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_fused_equals_readable(cut: None, kind: str, causal: bool, kv_heads: int) -> None:
    rng = np.random.default_rng(0)
    for T, S in ((5, 5), (3, 7), (7, 3), (1, 4)):
        same_as_readable(rng, 2, 4, kv_heads, T, S, kind, causal)


@given(st.integers(0, 3), st.sampled_from([(1, 1), (4, 2), (3, 1)]), st.integers(0, 6), st.integers(0, 6),
       st.sampled_from(sorted(MASKS)), st.booleans())  # fmt: skip
def test_fused_equals_readable_for_every_shape(
    B: int, heads_of: tuple[int, int], T: int, S: int, kind: str, causal: bool
) -> None:
    same_as_readable(np.random.default_rng(1), B, *heads_of, T, S, kind, causal)


def same_as_readable(
    rng: np.random.Generator, B: int, H: int, kv_heads: int, T: int, S: int, kind: str, causal: bool
) -> None:
    q, k, v = heads(rng, B, H, T, 3), heads(rng, B, kv_heads, S, 3), heads(rng, B, kv_heads, S, 2)
    mask, weight = MASKS[kind](rng, B, H, T, S), Tensor(rng.standard_normal((B, H, T, 2)), "float64")
    inputs = [q, k, v, mask] if isinstance(mask, Tensor) else [q, k, v]
    fused = attention(q, k, v, mask, causal=causal)
    readable, weights = scaled_dot_product_attention(q, k, v, mask, causal=causal)
    np.testing.assert_allclose(fused.data, readable.data, atol=1e-12)
    sums = weights.data.sum(axis=-1)
    assert np.all(np.isclose(sums, 1) | (sums == 0))
    for x, y in zip(*(grad((out * weight).sum(), inputs) for out in (fused, readable)), strict=True):
        np.testing.assert_allclose(x.data, y.data, atol=1e-12)


def test_gradients_equal_finite_differences(cut: None) -> None:
    rng = np.random.default_rng(2)
    q, k, v, mask = heads(rng, 1, 4, 3, 2), heads(rng, 1, 2, 4, 2), heads(rng, 1, 2, 4, 3), heads(rng, 1, 3, 4)
    assert gradcheck(lambda q, k, v, mask: attention(q, k, v, mask, causal=True), [q, k, v, mask])
    assert gradcheck(lambda q, k, v: attention(q, k, v, causal_mask(3, 4), scale=0.3), [q, k, v])


def test_second_derivatives_equal_finite_differences() -> None:
    rng = np.random.default_rng(3)
    q, k, v = heads(rng, 1, 2, 3, 2), heads(rng, 1, 1, 3, 2), heads(rng, 1, 1, 3, 2)
    assert gradgradcheck(lambda q, k, v: attention(q, k, v, causal=True), [q, k, v])


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("square", {}),
    "causal": ("square", {"causal": True}),
    "grouped": ("shared", {}),
    "boolean_mask": ("shared", {"mask": "boolean"}),
    "additive_mask": ("shared", {"mask": "additive", "scale": 0.7}),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_to_pytorch(cut: None, case: str) -> None:
    source, how = CASES[case]
    arrays = GOLDEN["square"] if source == "square" else [GOLDEN["query"], *GOLDEN["shared"]]
    q, k, v = (Tensor(x, "float64", requires_grad=True) for x in arrays)
    mask = GOLDEN.get(how.get("mask", ""))
    mask = Tensor(mask, mask.dtype) if mask is not None else None
    out = attention(q, k, v, mask, causal=how.get("causal", False), scale=how.get("scale"))
    np.testing.assert_allclose(out.data, GOLDEN[f"{case}.out"], atol=1e-13)
    gradients = grad(out, [q, k, v], Tensor(GOLDEN["weight"], "float64"))
    for letter, gradient in zip("qkv", gradients, strict=True):
        np.testing.assert_allclose(gradient.data, GOLDEN[f"{case}.d{letter}"], atol=1e-13)


def test_later_tokens_change_nothing_earlier(cut: None) -> None:
    rng = np.random.default_rng(4)
    q, k, v = (rng.standard_normal((1, 2, 6, 4)) for _ in range(3))
    before = attention(*(Tensor(x, "float64") for x in (q, k, v)), causal=True)
    for x in (q, k, v):
        x[:, :, 4] += 5
    after = attention(*(Tensor(x, "float64") for x in (q, k, v)), causal=True)
    assert np.array_equal(before.data[:, :, :4], after.data[:, :, :4])
    assert not np.isclose(before.data[:, :, 4:], after.data[:, :, 4:]).any()


@pytest.mark.parametrize("large", ["scores of few queries", "added mask"])
def test_what_exp_cannot_hold_is_shifted_first(large: str) -> None:
    rng = np.random.default_rng(0)
    few = large == "scores of few queries"
    q, k, v = (rng.normal(size=(1, 2, T, 4)).astype(np.float32) for T in (2 if few else 6, 6, 6))
    if few:
        q, k = 40 * q, 40 * k
    mask = None if few else Tensor(300 * rng.normal(size=(6, 6)).astype(np.float32))
    exact, _ = scaled_dot_product_attention(*(Tensor(x, "float64") for x in (q, k, v)), mask)
    np.testing.assert_allclose(attention(Tensor(q), Tensor(k), Tensor(v), mask).data, exact.data, rtol=1e-3, atol=1e-4)


def test_causal_is_aligned_at_the_end(cut: None) -> None:
    rng = np.random.default_rng(5)
    q, k, v = (heads(rng, 1, 1, 6, 4) for _ in range(3))
    whole = attention(q, k, v, causal=True)
    np.testing.assert_allclose(attention(q[:, :, 4:], k, v, causal=True).data, whole.data[:, :, 4:], atol=1e-14)


def test_a_query_with_nothing_to_attend_to_gives_zeros_and_no_gradient(cut: None) -> None:
    rng = np.random.default_rng(6)
    mask = rng.random((1, 1, 5, 5)) < 0.5
    mask[:, :, 2] = False
    for each in (mask, np.where(mask, 0.0, -np.inf)):
        q, k, v = (heads(rng, 1, 2, 5, 3) for _ in range(3))
        out = attention(q, k, v, each)
        out.sum().backward()
        assert np.all(out.data[:, :, 2] == 0)
        assert np.all(q.grad.data[:, :, 2] == 0) and np.all(q.grad.data[:, :, 0] != 0)
        assert all(np.isfinite(x.grad.data).all() for x in (q, k, v))


def test_looking_for_the_maximum_of_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    q, k, v = (heads(rng, 1, 2, 6, 3) for _ in range(3))
    direct = attention(q, k, v, causal=True)
    monkeypatch.setattr("tinytorch.attention.fused.scores_are_small", lambda *args: False)
    shifted = attention(q, k, v, causal=True)
    np.testing.assert_allclose(direct.data, shifted.data, atol=1e-14)
    for x, y in zip(*(grad((out**2).sum(), [q, k, v]) for out in (direct, shifted)), strict=True):
        np.testing.assert_allclose(x.data, y.data, atol=1e-14)


def test_large_scores_do_not_overflow() -> None:
    x = Tensor(np.full((1, 1, 3, 2), 1e4), "float32", requires_grad=True)
    out = attention(x, x, x)
    out.sum().backward()
    np.testing.assert_allclose(out.data, 1e4, rtol=1e-6)
    assert np.isfinite(x.grad.data).all()


@pytest.mark.parametrize("score", [-1000, -80, 25, 29, 31, 44, 60, 89, 100, 200, 266, 1000])
def test_large_and_small_scores_equal_the_readable_form(score: float) -> None:
    q, k = np.full((1, 1, 4, 1), abs(score)), np.linspace(0.9, 1, 4).reshape(1, 1, 4, 1) * np.sign(score)
    inputs = [Tensor(x, "float32", requires_grad=True) for x in (q, k, 1e20 * k)]
    fused, (readable, _) = attention(*inputs), scaled_dot_product_attention(*inputs)
    np.testing.assert_allclose(fused.data, readable.data, rtol=1e-3)
    for x, y in zip(*(grad(out.sum(), inputs) for out in (fused, readable)), strict=True):
        np.testing.assert_allclose(x.data, y.data, rtol=1e-2, atol=1e-3 * abs(y.data).max() + 1e13)


def test_half_precision_sums_over_keys_in_single_precision() -> None:
    x = Tensor(np.full((1, 1, 2000, 4), 1.34), "float16", requires_grad=True)
    v = Tensor(np.full((1, 1, 2000, 3), 0.5), "float16", requires_grad=True)
    out = attention(x, x, v)
    assert out.dtype == np.float16
    np.testing.assert_array_equal(out.data, 0.5)
    dx, dv = grad(out.sum(), [x, v])
    assert dx.dtype == dv.dtype == np.float16
    np.testing.assert_allclose(dv.data, 1, rtol=2e-3)
    np.testing.assert_array_equal(dx.data, 0)


@pytest.mark.parametrize("how", ["causal", "masked"])
def test_a_nan_in_keys_that_are_not_seen_reaches_nothing(cut: None, how: str) -> None:
    rng = np.random.default_rng(9)
    arrays = [rng.standard_normal((1, 2, 6, 4)) for _ in range(3)]
    q, k, v = (Tensor(x, "float64") for x in arrays)
    mask = None if how == "causal" else np.arange(6) < 4
    before = attention(q, k, v, mask, causal=how == "causal")
    k.data[:, :, 4:] = np.nan
    after = attention(q, k, v, mask, causal=how == "causal")
    seen = 4 if how == "causal" else 6
    np.testing.assert_allclose(after.data[:, :, :seen], before.data[:, :, :seen], atol=1e-14)


def test_queries_and_keys_without_numbers_attend_to_all_keys() -> None:
    q, v = Tensor(np.ones((1, 1, 3, 0)), "float64"), Tensor(np.arange(6.0).reshape(1, 1, 3, 2), "float64")
    np.testing.assert_allclose(attention(q, q, v).data[0, 0], [[2, 3]] * 3)
    np.testing.assert_allclose(scaled_dot_product_attention(q, q, v)[0].data[0, 0], [[2, 3]] * 3)


def test_float32_is_close_to_float64_and_stays_float32() -> None:
    rng = np.random.default_rng(7)
    arrays = [rng.standard_normal((2, 3, 150, 16)) for _ in range(3)]
    exact = attention(*(Tensor(x, "float64") for x in arrays), causal=True)
    fast = attention(*map(Tensor, arrays), causal=True)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast.data, exact.data, atol=2e-6)


def peak(run: Callable[[int], Any], T: int) -> int:
    tracemalloc.start()
    try:
        run(T)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("causal", [False, True])
def test_memory_is_linear_in_the_length(causal: bool) -> None:
    def run(T: int) -> None:
        q, k, v = (Tensor(np.ones((1, 1, T, 16), np.float32), requires_grad=True) for _ in range(3))
        attention(q, k, v, causal=causal).sum().backward()

    run(64)
    short, long = peak(run, 1024), peak(run, 2048)
    assert long < 2.2 * short
    assert long < 2048 * 2048 * 4 / 3  # a third of what the scores alone would take


def test_the_result_joins_its_heads_without_a_copy() -> None:
    x = Tensor(np.ones((2, 3, 5, 4), np.float32))
    out = attention(x, x, x)
    joined = out.data.transpose(0, 2, 1, 3).reshape(2, 5, 12)
    assert np.shares_memory(joined, out.data)
