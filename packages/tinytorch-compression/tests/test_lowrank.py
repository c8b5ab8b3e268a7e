"""Low-rank factors: the closest of their rank, fewer numbers, and only where that is so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.compression import (
    AdapterError,
    CompressionError,
    FactorizedLinear,
    add_lora,
    factorize,
    make_permanent,
    merge_lora,
    prune,
    remove_lora,
)
from tinytorch.layers import Linear, Module, Sequential, lower
from tinytorch.optim import AdamW
from tinytorch.spatial import Conv2d

from .models import example, floats, make_cnn, make_gpt, make_llama, make_mlp, numbers, rng, tokens


def low(inputs: int, outputs: int, rank: int, seed: int = 0) -> Linear:
    """A layer of that rank."""
    layer = Linear(inputs, outputs, dtype=np.float64, generator=rng(seed))
    draw = rng(seed)
    layer.weight.data[...] = draw.normal(size=(inputs, rank)) @ draw.normal(size=(rank, outputs))
    return layer


@given(st.integers(2, 12), st.integers(2, 12), st.data())
def test_the_distance_is_the_smallest_that_a_rank_allows(inputs: int, outputs: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, min(inputs, outputs)))
    model = Sequential(Linear(inputs, outputs, dtype=np.float64, generator=rng(data.draw(st.integers(0, 99)))))
    before, bias = model[0].weight.data.copy(), model[0].bias
    found = factorize(model, rank)
    saves = rank * (inputs + outputs) < inputs * outputs
    assert found == ({"0": rank} if saves else {})
    if saves:
        pair = model[0]
        product = pair.first.weight.data @ pair.second.weight.data
        left_out = np.linalg.svd(before, compute_uv=False)[rank:]
        assert_allclose(np.sum((product - before) ** 2), np.sum(left_out**2), rtol=1e-9, atol=1e-20)
        assert pair.second.bias is bias
        x = floats(2, 3, inputs, dtype=np.float64)
        assert_allclose(model(x).data, x.data @ product + bias.data, rtol=1e-10, atol=1e-12)
    else:
        assert_array_equal(model[0].weight.data, before)


@pytest.mark.parametrize("energy", [0.3, 0.9, 0.999, 1.0])
def test_energy_chooses_the_smallest_rank_that_keeps_it(energy: float) -> None:
    model = Sequential(Linear(20, 30, dtype=np.float64, generator=rng()))
    values = np.linalg.svd(model[0].weight.data, compute_uv=False) ** 2
    rank = factorize(model, energy=energy).get("0", 20)
    if energy < 0.9:
        assert values[:rank].sum() >= energy * values.sum() > values[: rank - 1].sum()
    else:
        assert isinstance(model[0], Linear)  # a random matrix has no low rank


def test_a_layer_of_low_rank_is_found_and_computes_the_same() -> None:
    model = Sequential(low(16, 24, 3), low(24, 8, 2))
    x = floats(5, 16, dtype=np.float64)
    before = model(x).data
    assert factorize(model, energy=1.0) == {"0": 3, "1": 2}
    assert_allclose(model(x).data, before, rtol=1e-9, atol=1e-9)
    lowered = lower(model)
    assert lowered is not None
    assert_array_equal(lowered(x.data), model(x).data)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"padding": "same", "dilation": 2}])
def test_convolutions(options: Any) -> None:
    conv = Conv2d(6, 8, 3, dtype=np.float64, generator=rng(), **options)
    matrix = rng(1).normal(size=(8, 2)) @ rng(2).normal(size=(2, 54))
    conv.weight.data[...] = matrix.reshape(8, 6, 3, 3)
    model, x = Sequential(conv), floats(2, 6, 9, 9, dtype=np.float64)
    before, count = model(x).data, model.num_parameters()
    assert factorize(model, energy=1.0) == {"0": 2}
    assert_allclose(model(x).data, before, rtol=1e-9, atol=1e-9)
    assert model.num_parameters() == 2 * 54 + 8 * 2 + 8 < count


@pytest.mark.parametrize("make", [make_mlp, make_cnn, make_gpt, make_llama])
def test_models_have_fewer_numbers_and_train_on(make: Callable[[], Module]) -> None:
    model = make()
    count = model.num_parameters()
    found = factorize(model, 2)
    assert found
    assert model.num_parameters() < count
    optimizer = AdamW(model, lr=0.01)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = ((model(example(model)) - 0.5) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    other = make()
    factorize(other, 2)
    other.load_state_dict(model.state_dict())
    assert_array_equal(other.eval()(example(model)).data, model.eval()(example(model)).data)


def test_frozen_layers_stay_frozen_and_modes_stay() -> None:
    model = make_gpt().eval()
    model.blocks[0].feed_forward.up.requires_grad_(False)
    factorize(model, 2)
    assert not any(p.requires_grad for p in model.blocks[0].feed_forward.up.parameters())
    assert not any(module.training for module in model.modules())
    assert lower(model) is not None


def test_adapters_stand_on_factors() -> None:
    model = make_gpt()
    factorize(model, 2, targets="up")
    before = model(tokens()).data
    add_lora(model, 2)
    assert isinstance(model.blocks[0].feed_forward.up.base, FactorizedLinear)
    with pytest.raises(AdapterError, match="FactorizedLinear"):
        merge_lora(model)
    remove_lora(model)
    assert_array_equal(model(tokens()).data, before)


def test_bad_input_is_refused_and_nothing_is_changed() -> None:
    model = make_mlp()
    shared = Sequential(Linear(8, 8), Linear(8, 8))
    shared[1].weight = shared[0].weight
    broken = make_mlp()
    broken[4].weight.data[0] = np.nan
    pruned = make_mlp()
    prune(pruned, 0.5)
    before = [numbers(each) for each in (model, shared, pruned)]
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: factorize(model), ValueError, "either rank or energy"),
        (lambda: factorize(model, 2, 0.5), ValueError, "either rank or energy"),
        (lambda: factorize(model, 0), ValueError, "at least 1"),
        (lambda: factorize(model, 5), CompressionError, "4 has rank 4 at most, and 5"),
        (lambda: factorize(model, energy=0), ValueError, "above 0 and up to 1"),
        (lambda: factorize(model, energy=1.1), ValueError, "above 0 and up to 1"),
        (lambda: factorize(model, energy="all"), TypeError, "must be a number"),  # type: ignore[arg-type]
        (lambda: factorize(model, 2, targets="1"), ValueError, "1 is a ReLU"),
        (lambda: factorize(model[0], 2), CompressionError, "itself the layer"),
        (lambda: factorize(shared, 2), CompressionError, r"shares its weight \(0\.weight, 1\.weight\)"),
        (lambda: factorize(broken, 2), CompressionError, "4 has weights that are NaN"),
        (lambda: factorize(pruned, 2), CompressionError, "make_permanent"),
    ]
    for call, kind, message in wrong:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert str(caught.value).count("\n") <= 1
    assert [numbers(each) for each in (model, shared, pruned)] == before
    make_permanent(pruned)
    assert factorize(pruned, 2)
