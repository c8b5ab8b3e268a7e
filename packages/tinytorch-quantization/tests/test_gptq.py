"""GPTQ against its definition: after each column, the best change of those that follow is computed from scratch."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.layers import Dropout, Embedding, Linear, Module, ReLU, Sequential
from tinytorch.quantization import (
    QuantizationError,
    QuantizedConv2d,
    QuantizedLinear,
    Scheme,
    dequantize_rows,
    gptq,
    quantize,
)
from tinytorch.quantization.gptq import columns
from tinytorch.spatial import Conv2d
from tinytorch.tensor import Tensor, manual_seed
from tinytorch.transformer import GPT

RNG = np.random.default_rng(0)
SCHEMES = [Scheme(4), Scheme(3, 4), Scheme(8, 8, False), Scheme(2, 4, False), Scheme(4, 16)]
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=Scheme.describe)


def slowly(rows: Any, H: Any, scheme: Scheme, act_order: bool, damping: float) -> Any:
    """Optimal brain quantization of one column at a time, with the inverse of what remains computed each time.

    Source: Frantar et al. 2022, equations 2 and 3: the change of the remaining weights F is
    -(w_q - quant(w_q)) / [H_F^-1]_qq * (H_F^-1)_q.
    """
    m, n = rows.shape
    size = scheme.group_size or n
    H = H + damping * np.diagonal(H).mean() * np.eye(n)
    order = sorted(range(n), key=lambda i: -H[i, i]) if act_order else list(range(n))
    W, Q, remaining = rows.copy(), np.empty((m, n)), list(order)
    for q in order:
        group = list(range(q // size * size, q // size * size + size))
        if act_order:
            scale, zero = scheme.fit(rows[:, group], rows.dtype)
        elif q % size == 0:
            scale, zero = scheme.fit(W[:, group], rows.dtype)
        zero = zero.astype(float)
        level = (np.rint(W[:, q] / scale) + zero).clip(*scheme.bounds)
        Q[:, q] = (level - zero) * scale
        inverse = np.linalg.inv(H[np.ix_(remaining, remaining)])
        place = remaining.index(q)
        W[:, remaining] -= np.outer((W[:, q] - Q[:, q]) / inverse[place, place], inverse[place])
        remaining.remove(q)
    return Q


@every_scheme
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("block", [1, 5, 128])
def test_gptq_is_its_definition(scheme: Scheme, act_order: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["tinytorch.quantization.gptq"], "BLOCK", block)
    X = RNG.normal(size=(40, 16)) @ RNG.normal(size=(16, 16))  # inputs that depend on each other
    rows, H = RNG.normal(size=(6, 16)), X.T @ X
    found = dequantize_rows(*gptq(rows, H, scheme, act_order=act_order, damping=0.02))
    np.testing.assert_allclose(found, slowly(rows, H, scheme, act_order, 0.02), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scheme", [each for each in SCHEMES if each.bits < 8], ids=Scheme.describe)
def test_outputs_change_less_than_with_the_nearest_codes(scheme: Scheme) -> None:
    X = RNG.normal(size=(200, 32)) @ RNG.normal(size=(32, 32))
    rows = RNG.normal(size=(16, 32))
    nearest = dequantize_rows(*scheme.quantize(rows))
    for act_order in (False, True):
        found = dequantize_rows(*gptq(rows, X.T @ X, scheme, act_order=act_order))
        assert np.linalg.norm(X @ (found - rows).T) < 0.95 * np.linalg.norm(X @ (nearest - rows).T)


def test_independent_inputs_give_the_nearest_codes() -> None:
    rows = RNG.normal(size=(5, 8))
    found, nearest = gptq(rows, np.eye(8), Scheme(4)), Scheme(4).quantize(rows)
    assert np.array_equal(found.weight, nearest.weight)


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    X = RNG.normal(size=(20, 8))
    X[:, 3] = 0
    codes = gptq(RNG.normal(size=(5, 8)), X.T @ X, Scheme(4), damping=0.0)
    assert np.isfinite(dequantize_rows(*codes)).all()
    codes = gptq(rows := RNG.normal(size=(5, 8)), np.zeros((8, 8)), Scheme(4))
    assert np.array_equal(codes.weight, Scheme(4).quantize(rows).weight)


@pytest.mark.parametrize("groups", [1, 2])
def test_columns_of_a_convolution_are_what_its_kernels_meet(groups: int) -> None:
    layer = Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=(1, 2), groups=groups, bias=False, dtype="float64")
    x = RNG.normal(size=(2, 4, 7, 8))
    X = columns(layer, x)  # (G, samples, n)
    rows = QuantizedConv2d.rows_of(layer).reshape(groups, 6 // groups, -1)
    out = layer(Tensor(x, "float64")).data  # (N, O, H', W')
    found = np.matmul(X, rows.mT)  # (G, H' W' N, O / G)
    N, m, high, wide = out.shape
    expected = out.transpose(1, 2, 3, 0).reshape(groups, m // groups, high * wide * N).mT
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def gpt() -> GPT:
    manual_seed(0)
    return GPT(vocab_size=20, embed_dim=16, num_layers=2, num_heads=2, max_seq_len=32)


TOKENS = [RNG.integers(0, 20, (4, 24)) for _ in range(3)]


def test_layers_see_what_the_quantized_ones_before_them_give() -> None:
    model = gpt()
    model.train()
    exact = copy.deepcopy(model)
    quantize(model, 3, 8, method="gptq", batches=TOKENS, exclude=Embedding)
    assert all(module.training and module._hooks is None for module in model.modules())
    found: dict[str, Any] = {}
    down = model.blocks[1].feed_forward.down
    handle = down.register_forward_pre_hook(lambda module, args, kwargs: found.setdefault("x", []).append(args[0].data))
    for tokens in TOKENS:
        model(tokens)
    handle.remove()
    X = np.concatenate([x.reshape(-1, 64) for x in found["x"]]).astype(np.float64)
    original = exact.blocks[1].feed_forward.down
    expected = gptq(QuantizedLinear.rows_of(original), X.T @ X, Scheme(3, 8))
    assert np.array_equal(down.weight.data, expected.weight)
    assert np.array_equal(down.scale.data, expected.scale)


@pytest.mark.parametrize("act_order", [False, True])
def test_model_is_closer_than_with_the_nearest_codes(act_order: bool) -> None:
    model = gpt().eval()
    for parameter in model.parameters():
        parameter.data *= 4
    exact = np.concatenate([model(tokens).data for tokens in TOKENS])
    errors = {}
    for method, options in {"nearest": {}, "gptq": {"batches": TOKENS, "act_order": act_order}}.items():
        other = quantize(copy.deepcopy(model), 3, 16, method=method, exclude=Embedding, **options)
        errors[method] = np.abs(np.concatenate([other(tokens).data for tokens in TOKENS]) - exact).mean()
    assert errors["gptq"] < 0.9 * errors["nearest"]


def test_network_of_convolutions() -> None:
    manual_seed(0)
    model = Sequential(Conv2d(2, 4, (3, 2)), ReLU(), Dropout(0.5), Conv2d(4, 4, 2, groups=2), Flat(), Linear(64, 10))
    images = [(Tensor(RNG.normal(size=(16, 2, 7, 6))),) for _ in range(2)]
    exact = copy.deepcopy(model).eval()(*images[0]).data
    for activations in (None, "dynamic", "static"):
        other = copy.deepcopy(model)
        quantize(other, 4, method="gptq", batches=iter(images), activations=activations)
        assert isinstance(other[0], QuantizedConv2d) and other[5].activations == activations
        if activations != "static":
            assert np.abs(other.eval()(*images[0]).data - exact).max() < 0.5 * np.abs(exact).max()


class Flat(Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1)


def test_a_layer_that_is_called_twice_sees_both_inputs() -> None:
    class Twice(Module):
        def __init__(self) -> None:
            self.layer, self.last = Linear(8, 8), Linear(8, 8)

        def forward(self, x: Any) -> Tensor:
            return self.last(self.layer(self.layer(x)))

    model, x = Twice(), RNG.normal(size=(32, 8)).astype(np.float32)
    inner = model.layer(Tensor(x)).data
    X = np.concatenate([x, inner]).astype(np.float64)
    expected = gptq(QuantizedLinear.rows_of(model.layer), X.T @ X, Scheme(4))
    quantize(model, 4, method="gptq", batches=[x])
    assert np.array_equal(model.layer.weight.data, expected.weight)


def test_a_layer_by_itself() -> None:
    layer, x = Linear(8, 4), RNG.normal(size=(32, 8)).astype(np.float32)
    found = quantize(layer, 4, method="gptq", batches=[x])
    assert isinstance(found, QuantizedLinear) and type(layer) is Linear


class Half(Module):
    def __init__(self) -> None:
        self.used, self.unused = Linear(4, 4), Linear(4, 4)

    def forward(self, x: Any) -> Tensor:
        return self.used(x)


X = np.ones((2, 4), np.float32)
PAIR: Callable[[], Module] = lambda: Sequential(Linear(4, 4), Linear(4, 4))  # noqa: E731
REFUSED: dict[str, tuple[Callable[[], Module], dict[str, Any], str]] = {
    "no batches": (PAIR, {}, "there are no batches"),
    "empty batches": (PAIR, {"batches": []}, "there are no batches"),
    "batches for nothing": (PAIR, {"batches": [X], "method": "nearest"}, "'nearest' with batches"),
    "another method": (PAIR, {"batches": [X], "method": "awq"}, "'awq' with batches"),
    "floats": (PAIR, {"batches": [X], "bits": "float16"}, "GPTQ of 'float16'"),
    "damping": (PAIR, {"batches": [X], "damping": -1.0}, "damping is -1.0"),
    "unreached": (Half, {"batches": [X]}, "no batch reached unused"),
    "infinite inputs": (PAIR, {"batches": [X * np.inf]}, "0: infinity or NaN among the inputs"),
    "later infinite inputs": (PAIR, {"batches": [X, X * 3e38]}, "1: infinity or NaN among the inputs"),
    "groups": (lambda: Sequential(Linear(4, 6), Linear(6, 4)), {"batches": [X], "group_size": 4}, "1: rows of 6"),
    "no damping": (PAIR, {"batches": [X], "damping": 0.0}, "no inverse"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_input_is_refused_and_nothing_changes(case: str) -> None:
    make, options, message = REFUSED[case]
    model = make()
    if case == "later infinite inputs":
        model[0].weight.data[:] = 4.0
    before = [(id(module), module.training) for module in model.modules()]
    with pytest.raises(QuantizationError, match=message):
        quantize(model, **{"bits": 4, "method": "gptq", **options})
    assert before == [(id(module), module.training) for module in model.modules()]
    assert all(module._hooks is None for module in model.modules())
