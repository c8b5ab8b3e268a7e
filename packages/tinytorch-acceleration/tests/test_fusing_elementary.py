"""Functions of float32 as plain arithmetic, against those of float64, in units in the last place."""

import math
from typing import Any

import numpy as np
import pytest

from tinytorch.acceleration import compiled
from tinytorch.acceleration.fusing import elementary
from tinytorch.acceleration.fusing.elementary import erf32, log32, rank32, rank64, tanh32, value32, value64

FUNCTIONS = [(log32, np.log, 3), (tanh32, np.tanh, 3), (erf32, np.vectorize(math.erf, otypes="d"), 4)]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e38, -1e38, 1.0, -1.0, 0.625, 4.0]


@pytest.mark.parametrize(("function", "exact", "units"), FUNCTIONS)
def test_it_is_within_these_units_in_the_last_place(function: Any, exact: Any, units: float) -> None:
    @compiled
    def on_all(x: Any, out: Any) -> None:
        for j in range(x.shape[0]):
            out[j] = function(x[j])

    generator = np.random.default_rng(0)
    x = np.concatenate([generator.standard_normal(50_000) * scale for scale in (1e-3, 0.1, 1, 3, 40)] + [SPECIAL])
    x = x.astype(np.float32)
    out = np.empty_like(x)
    on_all(x, out)
    with np.errstate(all="ignore"):
        wanted = exact(x.astype(np.float64))
        rounded = wanted.astype(np.float32)
        assert np.array_equal(np.isnan(out), np.isnan(rounded))
        assert np.array_equal(out[np.isinf(rounded)], rounded[np.isinf(rounded)])
        finite = np.isfinite(rounded)
        error = np.abs(out[finite] - wanted[finite]) / np.spacing(np.abs(rounded[finite]))
    assert error.max() <= units
    assert np.array_equal(np.signbit(out[rounded == 0]), np.signbit(rounded[rounded == 0]))


@pytest.mark.parametrize(("rank", "value", "dtype"), [(rank32, value32, np.float32), (rank64, value64, np.float64)])
def test_ranks_order_as_the_numbers_do(rank: Any, value: Any, dtype: Any) -> None:
    numbers = [dtype(each) for each in (-np.inf, -1e30, -1.5, -1e-30, 0.0, 1e-30, 2.0, 1e30, np.inf, np.nan)]
    ranks = [int(rank.function(each)) for each in numbers]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)
    assert rank.function(dtype(-np.nan)) == ranks[-1]
    for each, number in zip(ranks, numbers, strict=True):
        back = value.function(elementary.int32(each) if dtype is np.float32 else elementary.int64(each))
        assert back == number or (back != back and number != number)
