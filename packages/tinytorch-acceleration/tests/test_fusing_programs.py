"""Programs that hypothesis draws, run as Python: every combination of operations is the one that was written."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch.tensor as tt
from tinytorch.acceleration import fuse
from tinytorch.acceleration.compiling import Compiled
from tinytorch.acceleration.fusing import programs
from tinytorch.autograd import enable_autograd
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor

enable_autograd()
SHAPES = ((2, 3, 4), (4,), (2, 1, 4), (3, 1), (2, 1, 1), ())
UNARY = {
    "tanh": tt.tanh, "sin": tt.sin, "square": tt.square, "abs": tt.abs, "negative": lambda x: -x, "relu": F.relu,
    "sigmoid": F.sigmoid, "silu": F.silu, "cube": lambda x: x**3, "root": lambda x: (tt.abs(x) + 1) ** 0.5,
    "log": lambda x: tt.log(tt.abs(x) + 1), "exp": lambda x: tt.exp(-tt.square(x)), "clip": lambda x: x.clip(-1, 2),
    "erf": lambda x: F.gelu(x, approximate="none"), "detach": lambda x: x.detach() + x, "leaky": F.leaky_relu,
}  # fmt: skip
BINARY = {
    "add": tt.add, "subtract": tt.subtract, "multiply": tt.multiply, "divide": lambda x, y: x / (1 + y * y),
}  # fmt: skip
REDUCE = {
    "sum": tt.sum, "mean": tt.mean, "max": tt.max, "min": tt.min, "var": tt.var, "std": tt.std, "norm": tt.norm,
    "logsumexp": tt.logsumexp,
}  # fmt: skip
AXES = st.sampled_from([-1, 0, 1, (0, 1), (1, 2), (0, 2), None])

steps = st.one_of(
    st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 20)),
    st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 20), st.integers(0, 20)),
    st.tuples(st.sampled_from(sorted(REDUCE)), st.integers(0, 20), AXES),
    st.tuples(st.just("where"), st.integers(0, 20), st.integers(0, 20)),
)


def compute(script: list[tuple[Any, ...]], final: Any, *inputs: Any) -> Any:
    """What the script makes of the inputs; each step works on any two values before it."""
    values = list(inputs)
    for name, first, *rest in script:
        x = values[first % len(values)]
        if name in UNARY:
            values.append(UNARY[name](x))
        elif name in BINARY:
            values.append(BINARY[name](x, values[rest[0] % len(values)]))
        elif name == "where":
            values.append(tt.where(inputs[0] > inputs[1], x, values[rest[0] % len(values)]))
        else:
            values.append(REDUCE[name](x + 0 * inputs[0], axis=rest[0], keepdims=True))
    return (values[-1] * inputs[0] + values[len(values) // 2]).sum(axis=final)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs run as Python, in small chunks."""
    monkeypatch.setattr(Compiled, "__call__", lambda self, *args: self.function(*args))
    monkeypatch.setattr(programs, "GRAIN", 4)


@given(st.lists(steps, min_size=1, max_size=7), AXES, st.integers(0, 1000))
@settings(deadline=None, max_examples=60, report_multiple_bugs=False)
def test_a_drawn_program_computes_what_was_written(script: list[Any], final: Any, seed: int) -> None:
    generator = np.random.default_rng(seed)
    inputs = [Tensor(generator.standard_normal(shape), "float64", requires_grad=True) for shape in SHAPES]

    def function(*given: Any) -> Any:
        return compute(script, final, *given)

    fused = fuse(function)
    results, gradients = [], []
    for each in (fused, function):
        for x in inputs:
            x.grad = None
        with np.errstate(all="ignore"):
            out = each(*inputs)
            (out * out).sum().backward()
        results.append(out.data)
        gradients.append([np.zeros(x.shape) if x.grad is None else x.grad.data for x in inputs])
    assert "1 call fused, 0 not" in fused.why()
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-9)
    scale = max(1.0, *(np.abs(each).max() for each in gradients[1]))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9 * scale)


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool", "uint8"])
def test_integers_and_booleans_compute_as_written(dtype: str) -> None:
    x = Tensor(np.array([[0, 1, 3], [1, 0, 200]]), dtype)
    y = Tensor([[1.5, -2.0, 0.0], [1.0, 0.5, 3.0]])
    for function in (
        lambda x, y: x * y, lambda x, y: tt.where(x > y, x, y), lambda x, y: x.sum(), lambda x, y: x.astype("float64"),
        lambda x, y: x.mean(axis=0), lambda x, y: (y > 0) & (x == 1), lambda x, y: ~(y > 0),
        lambda x, y: np.exp(-x * y), lambda x, y: x / 3, lambda x, y: (y > 0).sum(axis=1),
        lambda x, y: np.isnan(y) | np.isfinite(y), lambda x, y: x != 0,
    ):  # fmt: skip
        try:
            with np.errstate(over="ignore"):
                wanted, found = function(x, y), fuse(function)(x, y)
        except TypeError:
            continue  # NumPy does not negate booleans
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found.data, wanted.data, rtol=1e-6)
