"""Operations of programs beside NumPy in float64, on any number of cores.

Errors are bounded by the units in the last place of float32 that a sum of so many rounded products can be off by.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.acceleration import disable_acceleration, enable_acceleration
from tinytorch.layers import functional as F

enable_acceleration()  # the modules below import Numba
disable_acceleration()

from tinytorch.acceleration import operations  # noqa: E402
from tinytorch.acceleration.programs import Crew, Program  # noqa: E402

CREWS = [Crew(1), Crew(2), Crew(5)]
EPS = np.finfo(np.float32).eps
sizes = st.integers(1, 70)


def draw(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def run(program: Program, *out: Any) -> None:
    """Run it by one, two and five threads, a few times, and compare all bits of `out`, which every run changes."""
    table, start = program.table(), [x.copy() for x in out]
    results = []
    for crew in (*CREWS, *CREWS[1:]):
        for x, before in zip(out, start, strict=True):
            x[...] = before
        crew.run(table)
        results.append([x.tobytes() for x in out])
    assert all(result == results[0] for result in results)


def near(found: Any, wanted: Any, magnitude: Any, n: int) -> None:
    """Within (n + 8) / 2 + 2 units of the sum of the magnitudes of its terms."""
    assert (np.abs(found - wanted) <= ((n + 8) / 2 + 2) * EPS * magnitude + 1e-30).all()


@given(st.integers(1, 9), sizes, sizes, st.integers(0, 2**31), st.booleans(), st.booleans())
def test_columns_are_a_linear_layer(rows: int, n: int, m: int, seed: int, biased: bool, adds: bool) -> None:
    x, w, b, out = draw(seed, rows, n), draw(seed + 1, n, m), draw(seed + 2, m), draw(seed + 3, rows, m)
    b = b if biased else None
    wide = out.astype(np.float64) * adds + x.astype(np.float64) @ w + (0 if b is None else b)
    terms = np.abs(out) * adds + np.abs(x) @ np.abs(w) + (0 if b is None else np.abs(b))
    program = Program()
    program.add(operations.columns, m, 16, x, w, b, out, rows, n, m, adds, 0)
    run(program, out)
    near(out, wide, terms, n)


@given(st.integers(1, 9), sizes, sizes, st.integers(0, 2**31), st.booleans())
def test_rows_are_a_tied_head(count: int, n: int, m: int, seed: int, biased: bool) -> None:
    x, w, b, out = draw(seed, count, n), draw(seed + 1, m, n), draw(seed + 2, m), draw(seed + 3, count, m)
    b = b if biased else None
    program = Program()
    program.add(operations.rows, m, 8, x, w, b, out, count, n, m)
    run(program, out)
    wide = x.astype(np.float64) @ w.T + (0 if b is None else b)
    near(out, wide, np.abs(x) @ np.abs(w).T + (0 if b is None else np.abs(b)), n)


@pytest.mark.parametrize(("f", "reference"), [
    (operations.GELU, lambda x: F.gelu(x).data),
    (operations.SILU, lambda x: F.silu(x).data),
    (operations.RELU, lambda x: np.maximum(x, 0)),
])  # fmt: skip
def test_activations_within_four_units(f: int, reference: Any) -> None:
    x = np.linspace(-90, 90, 4001, dtype=np.float32)
    out, one, zero = np.empty((1, x.size), np.float32), np.ones((1, 1), np.float32), np.zeros((1, x.size), np.float32)
    program = Program()
    program.add(operations.columns, x.size, 64, one, zero, x, out, 1, 1, x.size, 0, f)
    run(program, out)
    assert_allclose(out[0], reference(x.astype(np.float64)), rtol=4 * EPS * 8, atol=2e-7)


@given(st.integers(1, 5), sizes, st.integers(0, 2**31), st.booleans(), st.booleans(), st.booleans())
def test_norms(rows: int, d: int, seed: int, centered: bool, weighted: bool, in_place: bool) -> None:
    x, w, b = draw(seed, rows, d), draw(seed + 1, d), draw(seed + 2, d)
    out = x.copy() if in_place else np.empty_like(x)
    w, b = (w if weighted else None), (b if weighted and centered else None)
    program = Program()
    program.add(operations.normalize, rows, 1, out if in_place else x, w, b, out, d, 1e-5, centered)
    run(program, out)
    wide = x.astype(np.float64)
    wanted: Any = F.layer_norm.forward(wide, w, b, eps=1e-5) if centered else F.rms_norm.forward(wide, w, eps=1e-5)
    assert_allclose(out, wanted[0], rtol=1e-4, atol=2e-4)  # a row of nearly equal numbers loses its digits in the mean


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), sizes, sizes, st.integers(0, 2**31))
def test_attention_over_a_cache(B: int, groups: int, shared: int, D: int, count: int, seed: int) -> None:
    capacity, position = count + seed % 3, count - 1
    keys, values = draw(seed, B, groups, D, capacity), draw(seed + 1, B, groups, capacity, D)
    q, k, v = draw(seed + 2, B, groups * shared, D), draw(seed + 3, B, groups, D), draw(seed + 4, B, groups, D)
    out, room = np.empty_like(q), np.empty((B, groups, capacity), np.float32)
    program = Program()
    program.add(
        operations.attend, B * groups, 1, q, k, v, out, keys, values, room, shared, D, capacity, position, D**-0.5
    )
    run(program, out, keys, values)
    assert_array_equal(keys[..., position], k)
    assert_array_equal(values[:, :, position], v)
    K, V = (x.astype(np.float64) for x in (keys[..., :count], values[:, :, :count]))
    scores = np.einsum("bgsd,bgdt->bgst", q.reshape(B, groups, shared, D), K) / D**0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    wanted = np.einsum("bgst,bgtd->bgsd", weights / weights.sum(-1, keepdims=True), V).reshape(out.shape)
    assert_allclose(out, wanted, rtol=1e-5, atol=1e-4 * max(1, np.abs(V).max()) / 10)


def test_a_program_goes_on_in_order() -> None:
    """Each operation sees what the one before it has written, also where a helper computed it."""
    x, w = np.ones((1, 64), np.float32), np.full((64, 64), 1 / 64, np.float32)
    program, rows = Program(), [x]
    for _ in range(200):
        rows.append(np.zeros((1, 64), np.float32))
        program.add(operations.columns, 64, 16, rows[-2], w, np.ones(64, np.float32), rows[-1], 1, 64, 64, 0, 0)
    run(program, rows[-1])
    assert_array_equal(rows[-1], 201)


def test_threads_may_run_programs_at_once() -> None:
    crew, failed = Crew(2), []

    def work(seed: int) -> None:
        x, w, out = draw(seed, 1, 64), draw(seed + 1, 64, 256), np.empty((1, 256), np.float32)
        program = Program()
        program.add(operations.columns, 256, 16, x, w, None, out, 1, 64, 256, 0, 0)
        table = program.table()
        crew.run(table)
        first = out.copy()
        for _ in range(200):
            out[:] = 0
            crew.run(table)
            if not np.array_equal(out, first):
                failed.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_helpers_of_its_own() -> None:
    from tinytorch.acceleration.programs import crew

    x, w, out = draw(0, 1, 64), draw(1, 64, 256), np.empty((1, 256), np.float32)
    program = Program()
    program.add(operations.columns, 256, 16, x, w, None, out, 1, 64, 256, 0, 0)
    crew.run(program.table())
    wanted = out.tobytes()
    child = os.fork()
    if not child:
        out[:] = 0
        crew.run(program.table())
        os._exit(0 if out.tobytes() == wanted else 1)
    assert os.waitpid(child, 0)[1] == 0
