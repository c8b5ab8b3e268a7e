"""Values and gradients equal PyTorch's (made by tests-integration/golden/make_spatial.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch.spatial as spatial
from tinytorch.autograd import grad
from tinytorch.spatial import BatchNorm2d
from tinytorch.tensor import Tensor

FOLDER = Path(__file__).parent / "golden"
CASES: dict[str, Any] = json.loads((FOLDER / "spatial.json").read_text(encoding="utf-8"))
with np.load(FOLDER / "spatial.npz") as archive:
    GOLDEN = dict(archive)


def part(name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(name + "/"): value for key, value in GOLDEN.items() if key.startswith(name + "/")}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("name", CASES)
def test_equals_pytorch(name: str, dtype: str, tolerance: float) -> None:
    found, params = part(name), dict(CASES[name]["params"])
    for key in params.keys() & {"running_mean", "running_var"}:
        params[key] = Tensor(params[key], dtype)
    inputs = [Tensor(value, dtype, requires_grad=True) for key, value in found.items() if key.startswith("in/")]
    out = getattr(spatial, CASES[name]["function"])(*inputs, **params)
    assert out.dtype == dtype
    np.testing.assert_allclose(out.data, found["out"], rtol=tolerance, atol=tolerance)
    gradients = grad(out, inputs, Tensor(found["direction"], dtype))
    expected = [value for key, value in found.items() if key.startswith("d/")]
    for gradient, other in zip(gradients, expected, strict=True):
        assert gradient.dtype == dtype
        np.testing.assert_allclose(gradient.data, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "momentum"), [("tenth", 0.1), ("average", None)])
def test_running_statistics_follow_the_batches_as_in_pytorch(name: str, momentum: float | None) -> None:
    found = part(f"history/{name}")
    norm = BatchNorm2d(3, momentum=momentum, dtype="float64")
    for step in range(3):
        norm(Tensor(found[f"x{step}"], "float64"))
        for key, buffer in norm.named_buffers():
            np.testing.assert_allclose(buffer.data, found[f"{key}{step}"], rtol=1e-12, err_msg=key)
    out = norm.eval()(Tensor(found["x3"], "float64"))
    np.testing.assert_allclose(out.data, found["out"], rtol=1e-10)
    np.testing.assert_allclose(norm.running_mean.data, found["running_mean2"], rtol=1e-12)  # eval moves nothing
