"""Pruning by magnitude: what becomes zero, and that it stays so."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.compression import (
    CompressionError,
    GradualPruning,
    add_masks,
    make_permanent,
    masks,
    n_m_prune,
    prune,
    sparsity,
)
from tinytorch.compression.masks import _keepers, set_mask
from tinytorch.layers import CrossEntropyLoss, Linear, Module, MSELoss, Parameter, Sequential, load, save
from tinytorch.optim import SGD, Adam, AdamW, Lion, Muon, Optimizer, RMSprop, clip_grad_norm
from tinytorch.tensor import Tensor
from tinytorch.training import Trainer

from .models import example, floats, make_cnn, make_gpt, make_llama, make_mlp, numbers, rng

MODELS: dict[str, Callable[[], Module]] = {"mlp": make_mlp, "cnn": make_cnn, "gpt": make_gpt, "llama": make_llama}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def layer_of(weights: Any) -> Linear:
    weights = np.asarray(weights, np.float32)
    layer = Linear(*weights.shape)
    layer.weight.data[...] = weights
    return layer


# What is chosen


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 0.999), st.integers(0, 99))
def test_the_smallest_go_and_as_many_as_asked_for(rows: int, columns: int, amount: float, seed: int) -> None:
    weights = rng(seed).integers(-3, 4, (rows, columns))  # with many equal ones
    layer = layer_of(weights)
    shares = prune(layer, amount)
    keep = masks(layer)["weight"]
    removed = min(int(amount * weights.size + 1e-6), weights.size - 1)
    assert np.count_nonzero(~keep) == removed
    assert shares == pytest.approx({"": removed / weights.size})
    assert np.array_equal(layer.weight.data, np.where(keep, weights, 0))
    if removed:
        assert np.abs(weights)[~keep].max() <= np.abs(weights)[keep].min()


def test_global_pruning_compares_all_layers() -> None:
    model = Sequential(layer_of([[1, 2], [3, 4]]), layer_of([[5, 6], [7, -0.5]]))
    assert prune(model, 0.5, "global") == {"0": 0.75, "1": 0.25}
    assert model[0].weight.data.tolist() == [[0, 0], [0, 4]]
    assert model[1].weight.data.tolist() == [[5, 6], [7, 0]]


def test_pruning_again_counts_what_is_pruned_and_lets_it_be() -> None:
    layer = layer_of([[1, 2, 3, 4]])
    prune(layer, 0.5)
    layer.weight.data[...] = [[0, 0, 0.2, 0.1]]  # what is left is smaller now than what was pruned
    assert prune(layer, 0.75) == {"": 0.75}
    assert layer.weight.data.tolist() == [[0, 0, np.float32(0.2), 0]]
    assert prune(layer, 0.25) == {"": 0.75}  # less takes nothing back


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.data())
def test_n_of_every_m_inputs_stay(m: int, groups: int, outputs: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, m))
    weights = rng(data.draw(st.integers(0, 99))).normal(size=(groups * m, outputs))
    layer = layer_of(weights)
    assert n_m_prune(layer, n, m) == pytest.approx({"": 1 - n / m})
    kept = masks(layer)["weight"].reshape(groups, m, outputs)
    sizes = np.abs(weights.reshape(groups, m, outputs))
    assert (kept.sum(axis=1) == n).all()
    worst = np.where(kept, sizes, np.inf).min(axis=1)
    assert (np.where(kept, 0, sizes).max(axis=1) <= worst).all()


def test_n_m_of_a_convolution_lies_along_its_input_channels() -> None:
    model = make_cnn()
    n_m_prune(model, 1, 4, targets=["0", "4"])
    for mask in masks(model).values():
        outputs, inputs, *size = mask.shape
        assert (mask.reshape(outputs, inputs // 4, 4, *size).sum(axis=2) == 1).all()


def test_n_m_after_pruning_takes_what_is_pruned_first() -> None:
    layer = layer_of([[1], [2], [3], [4]])
    prune(layer, 0.75)
    assert n_m_prune(layer, 2, 4) == {"": 0.75}


@every_model
def test_embeddings_norms_and_biases_are_left_alone(make: Callable[[], Module]) -> None:
    model, fresh = make(), make().state_dict()
    shares = prune(model, 0.5)
    assert shares.keys() == {name.rpartition(".")[0] for name in masks(model)} and all(
        share == pytest.approx(0.5, abs=0.01) for share in shares.values()
    )
    for name, tensor in model.state_dict().items():
        owner = name.rpartition(".")[0]
        if not name.endswith("_mask") and not (owner in shares and name.endswith(".weight")):
            assert np.array_equal(tensor.data, fresh[name].data), name


def test_targets_are_names_or_their_endings() -> None:
    model = make_gpt()
    assert prune(model, 0.5, targets="q_proj").keys() == {f"blocks.{i}.attention.q_proj" for i in range(2)}
    assert prune(model, 0.5, targets=["token_embedding"]).keys() == {"token_embedding"}  # asked for by name


def test_a_shared_weight_is_pruned_once() -> None:
    model = Sequential(Linear(4, 4), Linear(4, 4))
    model[1].weight = model[0].weight
    assert prune(model, 0.5) == {"0": 0.5}
    assert np.count_nonzero(model[1].weight.data) == 8


# That it stays so

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: Adam(p, lr=0.1, weight_decay=0.1),
    "adamw": lambda p: AdamW(p, lr=0.1),
    "rmsprop": lambda p: RMSprop(p, lr=0.01),
    "lion": lambda p: Lion(p, lr=0.01),
    "muon": lambda p: Muon([each for each in p if each.ndim == 2], lr=0.01),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_no_optimizer_moves_a_pruned_weight_even_with_momentum_from_before(kind: str) -> None:
    model = make_mlp()
    optimizer = OPTIMIZERS[kind](model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        ((model(example(model)) - 1) ** 2).sum().backward()
        optimizer.step()

    for _ in range(3):
        step()
    prune(model, 0.7)
    before = {name: model.state_dict()[name].data.copy() for name in masks(model)}
    for _ in range(5):
        step()
    for name, mask in masks(model).items():
        weight = model.state_dict()[name].data
        assert not weight[~mask].any()
        assert (weight[mask] != before[name][mask]).any()
    make_permanent(model)
    step()
    step()
    assert all(np.count_nonzero(model.state_dict()[name].data) > np.count_nonzero(before[name]) for name in before)


def test_training_equals_that_of_a_product_with_the_mask() -> None:
    """The definition: a pruned layer is one whose weight is multiplied by its mask in every forward."""
    model, twin = make_mlp(dtype=np.float64), make_mlp(dtype=np.float64)
    prune(model, 0.6)
    kept = [masks(model).get(f"{i}.weight") for i in range(5)]
    x = floats(6, 8, dtype=np.float64)

    def masked() -> Tensor:
        out = x
        for layer, mask in zip(twin, kept, strict=True):
            out = layer(out) if mask is None else out @ (layer.weight * Tensor(mask)) + layer.bias
        return out

    ours, theirs = Adam(model, lr=0.05), Adam(twin, lr=0.05)
    for _ in range(4):
        norms = []
        for optimizer, network, forward in ((ours, model, lambda: model(x)), (theirs, twin, masked)):
            optimizer.zero_grad()
            (forward() ** 2).sum().backward()
            norms.append(clip_grad_norm(network.parameters(), 0.5))
            optimizer.step()
        assert norms[0] == pytest.approx(norms[1], rel=1e-12)
    np.testing.assert_allclose(model(x).data, masked().data, rtol=1e-10)


def test_a_parameter_in_the_place_of_a_pruned_one_is_pruned_too() -> None:
    model = Sequential(Linear(4, 4))
    prune(model, 0.5)
    model[0].weight = Parameter(np.ones((4, 4), np.float32))
    prune(model, 0.5)
    optimizer = AdamW(model, lr=0.1)
    (model(floats(3, 4)) ** 2).sum().backward()
    optimizer.step()
    assert np.count_nonzero(model[0].weight.data) == 8


def test_a_pickled_model_keeps_its_zeros() -> None:
    model = make_mlp()
    prune(model, 0.5)
    twin = pickle.loads(pickle.dumps(model))
    optimizer = AdamW(twin, lr=0.1)
    (twin(example(twin)) ** 2).sum().backward()
    optimizer.step()
    assert all(not twin.state_dict()[name].data[~mask].any() for name, mask in masks(twin).items())
    make_permanent(twin)
    assert list(twin.state_dict()) == list(make_mlp().state_dict())


@every_model
def test_copies_keep_their_own_zeros(make: Callable[[], Module]) -> None:
    model = make()
    prune(model, 0.5)
    twin = copy.deepcopy(model)
    count = len(_keepers)
    make_permanent(model)
    assert len(_keepers) == count - len(masks(twin))
    optimizer = SGD(twin, lr=0.1, momentum=0.5)
    (twin(example(twin)) ** 2).sum().backward()
    optimizer.step()
    assert all(not twin.state_dict()[name].data[~mask].any() for name, mask in masks(twin).items())
    kept = [keeper for keeper in _keepers.values() if any(keeper.parameter is p for p in twin.parameters())]
    assert len(kept) == len(masks(twin))
    gone = [weakref.ref(keeper) for keeper in kept]
    del twin, optimizer, kept
    gc.collect()
    assert not any(keeper() for keeper in gone)


def test_a_frozen_layer_may_be_pruned_and_learned_later() -> None:
    layer = Linear(4, 4).requires_grad_(False)
    prune(layer, 0.5)
    assert not layer.weight.requires_grad
    layer.requires_grad_(True)
    optimizer = SGD(layer, lr=1.0)
    layer(floats(2, 4)).sum().backward()
    assert layer.weight.grad is not None and not layer.weight.grad.data[~masks(layer)["weight"]].any()
    optimizer.step()
    assert np.count_nonzero(layer.weight.data) == 8


# Saving and resuming


@every_model
def test_masks_are_saved_and_loaded(make: Callable[[], Module], tmp_path: Path) -> None:
    model, other = make(), make()
    prune(model, 0.3)
    save(model, tmp_path / "model.safetensors")
    add_masks(other)
    assert set(sparsity(other).values()) == {0.0}
    load(other, tmp_path / "model.safetensors")
    assert sparsity(other) == sparsity(model)
    assert numbers(other)["state"] == numbers(model)["state"]
    optimizer = SGD(other, lr=0.1, momentum=0.9)
    (other(example(other)) ** 2).sum().backward()
    optimizer.step()
    assert all(not other.state_dict()[name].data[~mask].any() for name, mask in masks(other).items())


def gradual_run(folder: Path, steps: list[int]) -> Sequential:
    """A run that is ended after each of `steps` and continued by a new process, as far as a test can tell."""
    inputs = floats(40, 8, seed=3)
    batches = [(Tensor(inputs.data[i : i + 8]), Tensor(inputs.data[i : i + 8, :4])) for i in range(0, 40, 8)]
    for last in steps:
        model = make_mlp()
        pruning = GradualPruning(model, 0.8, start=2, end=12, every=3)
        trainer = Trainer(
            model, AdamW(model, lr=0.01), MSELoss(), callbacks=[pruning], checkpoint=folder / "run", clip_norm=1.0
        )
        trainer.fit(batches, steps=last, resume=True, progress=False)
    return model


def test_a_gradual_run_that_is_killed_and_resumed_ends_bit_for_bit_where_the_unbroken_one_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, broken = gradual_run(tmp_path / "a", [15]), gradual_run(tmp_path / "b", [4, 9, 15])
    assert numbers(whole) == numbers(broken)
    assert sparsity(whole) == pytest.approx({"0": 0.8, "2": 0.8, "4": 0.8}, abs=0.02)


def test_gradual_pruning_prunes_when_it_is_due() -> None:
    model = Linear(10, 10)
    pruning = GradualPruning(model, 0.9, start=10, end=20, every=4, initial=0.5)
    seen = {}
    for step in range(1, 30):
        pruning.on_step_end(type("Run", (), {"step": step}))
        seen[step] = round(sparsity(model)[""], 2)
    assert seen[9] == 0 and seen[10] == seen[13] == 0.5
    assert seen[14] == round(int(100 * (0.9 - 0.4 * 0.6**3) + 1e-6) / 100, 2)
    assert seen[20] == seen[29] == 0.9


@every_model
def test_making_it_permanent_leaves_nothing_but_zeros(make: Callable[[], Module]) -> None:
    model, fresh = make(), make()
    prune(model, 0.5)
    out = model(example(model)).data
    pruned = masks(model)
    make_permanent(model)
    for name, mask in pruned.items():
        fresh.state_dict()[name].data[~mask] = 0
    assert numbers(model) == numbers(fresh)
    assert np.array_equal(model(example(model)).data, out)
    make_permanent(model)  # a second time is harmless


def test_a_gpt_trains_and_generates_while_it_is_pruned() -> None:
    model = make_gpt()
    prune(model, 0.5, "global")
    optimizer = AdamW(model, lr=1e-2)
    ids = np.arange(12).reshape(2, 6)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = CrossEntropyLoss()(model(ids[:, :-1]), Tensor(ids[:, 1:]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
    assert model.generate([0, 1, 2], 3, temperature=0).tolist() == [0, 1, 2, 3, 4, 5]


# Bad input


def test_bad_amounts_and_names_are_refused_and_nothing_is_changed() -> None:
    model = make_mlp()
    before = numbers(model)
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: prune(model, 1.0), ValueError, "something stays"),
        (lambda: prune(model, -0.1), ValueError, "from 0 to below 1"),
        (lambda: prune(model, float("nan")), ValueError, "from 0 to below 1"),
        (lambda: prune(model, True), TypeError, "must be a number"),
        (lambda: prune(model, 0.5, "all"), ValueError, "'layer' or 'global'"),  # type: ignore[arg-type]
        (lambda: prune(model, 0.5, targets=["head"]), ValueError, "no layer is called 'head'"),
        (lambda: prune(model, 0.5, targets="1"), ValueError, "1 is a ReLU"),
        (lambda: prune(model, 0.5, targets=[]), ValueError, "targets is empty"),
        (lambda: prune(model[1], 0.5), ValueError, "no layer that this serves"),
        (lambda: prune(np.ones(3), 0.5), TypeError, "must be a Module"),  # type: ignore[arg-type]
        (lambda: n_m_prune(model, 5, 4), ValueError, "n is at most m"),
        (lambda: n_m_prune(model, 0, 4), ValueError, "at least 1"),
        (lambda: n_m_prune(model, 2, 5), CompressionError, "8 inputs, which groups of 5 do not divide"),
        (lambda: GradualPruning(model, 0.5, start=5, end=5), ValueError, "the end comes after"),
        (lambda: GradualPruning(model, 0.2, end=5, initial=0.3), ValueError, "amounts do not fall"),
        (lambda: GradualPruning(model, 1.2, end=5), ValueError, "from 0 to below 1"),
        (lambda: add_masks(model, "nothing"), ValueError, "no layer is called"),
    ]
    for call, kind, message in wrong:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert str(caught.value).count("\n") <= 1
    assert numbers(model) == before


def test_global_pruning_that_would_empty_a_layer_is_refused() -> None:
    model = Sequential(layer_of(np.full((4, 4), 0.1)), layer_of(np.ones((4, 4))))
    before = numbers(model)
    with pytest.raises(CompressionError, match="leave nothing of 0"):
        prune(model, 0.6, "global")
    assert numbers(model) == before


def test_weights_that_are_not_finite_are_refused() -> None:
    model = make_mlp()
    model[2].weight.data[0, 0] = np.nan
    with pytest.raises(CompressionError, match="2 has weights that are NaN"):
        prune(model, 0.5)
    assert masks(model) == {}


def test_a_model_without_masks_refuses_a_pruned_file(tmp_path: Path) -> None:
    model = make_mlp()
    prune(model, 0.5)
    with pytest.raises(ValueError, match=r"unexpected: 0\.weight_mask"):
        make_mlp().load_state_dict(model.state_dict())


def test_a_mask_may_be_set_by_hand() -> None:
    layer = layer_of([[1, 2], [3, 4]])
    set_mask(layer, np.array([[True, False], [False, True]]))
    assert layer.weight.data.tolist() == [[1, 0], [0, 4]]
    set_mask(layer, np.array([[True, False], [False, False]]))
    assert layer.weight.data.tolist() == [[1, 0], [0, 0]]


def test_weights_that_cannot_be_written_to_are_replaced() -> None:
    model = make_mlp()
    for parameter in model.parameters():
        parameter.data.flags.writeable = False
    before = model[0].weight.data
    prune(model, 0.5)
    assert np.count_nonzero(model[0].weight.data) == 64
    assert np.count_nonzero(before) == 128
