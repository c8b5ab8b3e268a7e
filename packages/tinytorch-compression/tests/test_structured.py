"""What structured pruning takes out, and that the rest computes what the whole model computes without it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.attention import MultiHeadAttention
from tinytorch.compression import (
    CompressionError,
    add_lora,
    masks,
    prune,
    remove_lora,
    structured_prune,
)
from tinytorch.layers import Flatten, Linear, Module, ReLU, Sequential, Sigmoid
from tinytorch.optim import AdamW
from tinytorch.spatial import BatchNorm2d, Conv2d
from tinytorch.tensor import ShapeError
from tinytorch.transformer import BERT, GPT, EncoderDecoder, FeedForward, TransformerConfig

from .models import example, floats, make_cnn, make_gpt, make_llama, make_mlp, numbers, tokens


def without(kept: Any, count: int) -> Any:
    return np.setdiff1d(np.arange(count), kept)


def silence(model: Module, kept: dict[str, Any], what: str) -> None:
    """Let the whole model not read what was taken out: the definition of structured pruning."""
    modules = dict(model.named_modules())
    for name, stay in kept.items():
        part: Any = modules[name]
        if isinstance(part, FeedForward):
            part.down.weight.data[without(stay, part.up.out_features)] = 0
        elif isinstance(part, MultiHeadAttention):
            G, g, Dh = part.num_kv_heads, part.num_heads // part.num_kv_heads, part.head_dim
            keep = np.zeros((G, g), bool)
            if what == "groups" or g == 1:
                keep[stay] = True
            else:
                np.put_along_axis(keep, stay, True, axis=1)
            part.out_proj.weight.data.reshape(G, g, Dh, -1)[~keep] = 0
        else:
            later = [each for each in model if isinstance(each, Linear | Conv2d)]  # type: ignore[attr-defined]
            reader = later[later.index(part) + 1]
            if isinstance(part, Linear):
                reader.weight.data[without(stay, part.out_features)] = 0
            elif isinstance(reader, Conv2d):
                reader.weight.data[:, without(stay, part.out_channels)] = 0
            else:
                rows = reader.weight.data.reshape(part.out_channels, -1, reader.out_features)
                rows[without(stay, part.out_channels)] = 0


CASES: dict[str, tuple[Callable[..., Module], str]] = {
    "neurons of an mlp": (make_mlp, "neurons"),
    "neurons of gpt": (make_gpt, "neurons"),
    "neurons of llama": (make_llama, "neurons"),
    "channels": (make_cnn, "channels"),
    "heads of gpt": (make_gpt, "heads"),
    "heads of llama": (make_llama, "heads"),
    "groups of gpt": (make_gpt, "groups"),
    "groups of llama": (make_llama, "groups"),
}
every_case = pytest.mark.parametrize("case", CASES)


@every_case
@pytest.mark.parametrize("amount", [0.0, 0.3, 0.5, 0.9])
def test_output_is_that_of_the_whole_model_without_what_was_taken_out(case: str, amount: float) -> None:
    make, what = CASES[case]
    model, whole = make(dtype=np.float64), make(dtype=np.float64)
    x = example(model)
    kept = structured_prune(model, amount, what)  # type: ignore[arg-type]
    silence(whole, kept, what)
    assert_allclose(model(x).data, whole(x).data, rtol=1e-10, atol=1e-12)
    fewer = any(stay.shape[-1] < unit_size(whole, name, what) for name, stay in kept.items())
    assert fewer == (model.num_parameters() < whole.num_parameters()) == (amount in (0.5, 0.9) or fewer)
    if amount == 0:
        assert numbers(model) == numbers(make(dtype=np.float64))


def unit_size(model: Module, name: str, what: str) -> int:
    part: Any = model.get_submodule(name)
    if isinstance(part, MultiHeadAttention):
        grouped = what == "heads" and part.num_kv_heads < part.num_heads
        return part.num_heads // part.num_kv_heads if grouped else part.num_kv_heads
    if isinstance(part, FeedForward):
        return part.up.out_features
    return len(part.bias.data)


@settings(max_examples=30)
@given(st.data())
def test_any_sequence_of_layers(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=3, max_size=5))
    model: Any = Sequential()
    for a, b in pairwise(sizes):
        model.append(Linear(a, b, bias=data.draw(st.booleans()), dtype=np.float64))
        model.append(data.draw(st.sampled_from([ReLU(), Sigmoid()])))
    whole, x = copy.deepcopy(model), floats(3, sizes[0], dtype=np.float64)
    amount = data.draw(st.floats(0, 0.99))
    kept = structured_prune(model, amount)
    assert [len(stay) for stay in kept.values()] == [n - min(int(amount * n + 1e-6), n - 1) for n in sizes[1:-1]]
    silence(whole, kept, "neurons")
    assert_allclose(model(x).data, whole(x).data, rtol=1e-10, atol=1e-12)


def test_heads_of_no_effect_go_first_and_logits_stay() -> None:
    for make, gone in ((make_gpt, [1, 3]), (make_llama, [1, 2])):
        model = make(dtype=np.float64)
        for block in model.blocks:
            weight = block.attention.out_proj.weight.data.reshape(4, 4, -1)
            weight[gone] = 0
        before = model(tokens()).data
        structured_prune(model, 0.5, "heads")
        assert_allclose(model(tokens()).data, before, rtol=1e-12, atol=1e-14)
        assert model.blocks[0].attention.num_heads == 2
    assert model.blocks[0].attention.num_kv_heads == 2


def test_channels_that_a_batch_norm_silences_go_first() -> None:
    model = make_cnn(dtype=np.float64)
    norm: Any = model[1]
    norm.weight.data[[2, 5]] = 0
    norm.bias.data[[2, 5]] = -1  # below zero for the ReLU
    x, before = example(model), model(example(model)).data
    kept = structured_prune(model, 0.25, "channels", targets="0")
    assert 2 not in kept["0"] and 5 not in kept["0"]
    assert_allclose(model(x).data, before, rtol=1e-12)
    assert norm.num_features == 6 and norm.running_mean.shape == (6,)


def test_given_importance_decides() -> None:
    model = make_llama()
    scores = {"blocks.1.attention": [[1, 2], [2, 1]]}
    kept = structured_prune(model, 0.5, "heads", targets=list(scores), importance=scores)
    assert kept["blocks.1.attention"].tolist() == [[1], [0]]
    assert model.blocks[0].attention.num_heads == 4
    mlp = make_mlp()
    kept = structured_prune(mlp, 0.5, targets="0", importance={"0": np.arange(16)})
    assert kept["0"].tolist() == list(range(8, 16))


class Residual(Module):
    """Layers that code of its own calls."""

    def __init__(self) -> None:
        self.conv1, self.norm = Conv2d(3, 6, 3, padding=1, dtype=np.float64), BatchNorm2d(6, dtype=np.float64)
        self.conv2, self.head = Conv2d(6, 3, 1, dtype=np.float64), Linear(48, 2, dtype=np.float64)
        self.wide, self.square = BatchNorm2d(7), Conv2d(3, 3, 1)

    def forward(self, x: Any) -> Any:
        x = x + self.conv2(self.norm(self.conv1(x)).tanh())
        return self.head(x.reshape(len(x), -1))


def test_chains_that_are_named() -> None:
    model = Residual().eval()
    whole, x = copy.deepcopy(model), floats(2, 3, 4, 4, dtype=np.float64)
    kept = structured_prune(model, 0.5, "channels", chains=[["conv1", "norm", "conv2"]])
    whole.conv2.weight.data[:, without(kept["conv1"], 6)] = 0
    assert_allclose(model(x).data, whole(x).data, rtol=1e-12)
    assert (model.conv1.out_channels, model.norm.num_features, model.conv2.in_channels) == (3, 3, 3)
    wrong = [["conv1"], ["conv1", "head", "conv2"], ["norm", "conv2"], ["conv2", "conv1", "head", "norm"]]
    for names in (*wrong, ["conv1", "wide", "conv2"], ["square", "square"]):  # a norm of other sizes; one layer
        with pytest.raises(CompressionError, match="make no chain"):
            structured_prune(model, 0.5, "channels", chains=[names])
    with pytest.raises(CompressionError, match="no channels whose layers are known"):
        structured_prune(model, 0.5, "channels")


class Gated(Module):
    def __init__(self) -> None:
        self.up, self.gate, self.down = Linear(4, 8), Linear(4, 8), Linear(8, 2)

    def forward(self, x: Any) -> Any:
        return self.down(self.up(x) * self.gate(x))


def test_chains_that_meet_are_refused_before_anything_is_changed() -> None:
    model = Gated()
    before = numbers(model)
    with pytest.raises(CompressionError, match="up and gate meet in one layer"):
        structured_prune(model, 0.5, chains=[["up", "down"], ["gate", "down"]])
    assert numbers(model) == before


def test_squares_of_half_precision_weights_do_not_overflow() -> None:
    model = Sequential(Linear(64, 4, dtype=np.float16), ReLU(), Linear(4, 8, dtype=np.float16))
    model[0].weight.data[...] = [100, 400, 200, 300]
    assert structured_prune(model, 0.5)["0"].tolist() == [1, 3]


def test_a_linear_layer_along_the_width_of_images_is_no_reader_of_channels() -> None:
    model = Sequential(Conv2d(1, 4, 1), ReLU(), Linear(4, 2))
    with pytest.raises(CompressionError, match="no channels"):
        structured_prune(model, 0.5, "channels")
    with pytest.raises(CompressionError, match="no channels"):
        structured_prune(Sequential(Conv2d(1, 4, 1), Flatten(2), Linear(16, 2)), 0.5, "channels")


# The smaller model is a model like others


@pytest.mark.parametrize("what", ["neurons", "heads", "groups"])
@pytest.mark.parametrize("make", [make_gpt, make_llama])
def test_the_configuration_builds_the_smaller_model(what: Any, make: Callable[[], GPT]) -> None:
    model = make()
    structured_prune(model, 0.5, what)
    other = GPT.from_config(model.config).eval()
    other.load_state_dict(model.state_dict())
    assert_array_equal(other(tokens()).data, model(tokens()).data)
    assert repr(other) == repr(model)
    assert model.num_heads == model.blocks[0].attention.num_heads


def test_other_transformers() -> None:
    sizes: dict[str, Any] = {"vocab_size": 23, "embed_dim": 16, "num_layers": 2, "num_heads": 4, "max_seq_len": 24}
    bert = BERT(TransformerConfig.bert(**sizes, dropout=0.0)).eval()
    both = EncoderDecoder(TransformerConfig.original(**sizes)).eval()
    for model in (bert, both):
        before = model.num_parameters()
        for what in ("neurons", "heads"):
            structured_prune(model, 0.5, what)  # type: ignore[arg-type]
        assert model.num_parameters() < 0.75 * before
        assert model.config.num_heads == 2 and model.config.hidden_dim == 32
    assert bert(tokens()).shape == (2, 7, 16)
    assert both(tokens(), tokens(length=5)).shape == (2, 5, 23)


def test_it_trains_on_and_old_optimizers_say_that_they_are_old() -> None:
    model = make_mlp()
    old = AdamW(model)
    (model(floats(3, 8)) ** 2).sum().backward()
    structured_prune(model, 0.5)
    assert model[0].weight.grad is None
    (model(floats(3, 8)) ** 2).sum().backward()
    with pytest.raises(ShapeError, match="make the optimizer after changing the model"):
        old.step()
    new = AdamW(model, lr=0.1)
    before = model[2].weight.data.copy()
    new.step()
    assert not np.array_equal(model[2].weight.data, before)


def test_masks_become_smaller_too() -> None:
    model = make_mlp()
    prune(model, 0.5)
    structured_prune(model, 0.5)
    for name, mask in masks(model).items():
        weight = model.state_dict()[name].data
        assert mask.shape == weight.shape
        assert not weight[~mask].any()
    optimizer = AdamW(model, lr=0.1)
    (model(floats(3, 8)) ** 2).sum().backward()
    optimizer.step()
    assert all(not model.state_dict()[name].data[~mask].any() for name, mask in masks(model).items())


# Bad input


def test_bad_input_is_refused_and_nothing_is_changed() -> None:
    model, gpt = make_mlp(), make_gpt()
    before, before_gpt = numbers(model), numbers(gpt)
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: structured_prune(model, 1.0), ValueError, "something stays"),
        (lambda: structured_prune(model, -1), ValueError, "from 0 to below 1"),
        (lambda: structured_prune(model, 0.5, "layers"), ValueError, "'neurons', 'channels'"),  # type: ignore[arg-type]
        (lambda: structured_prune(model, 0.5, "heads"), CompressionError, "no heads whose layers are known"),
        (lambda: structured_prune(model, 0.5, targets="4"), ValueError, "no neurons are called '4'; there are 0, 2"),
        (lambda: structured_prune(model, 0.5, importance={"0": [1.0]}), CompressionError, r"shape \(1,\)"),
        (lambda: structured_prune(model, 0.5, importance={"0": [np.nan] * 16}), CompressionError, "not finite"),
        (lambda: structured_prune(model, 0.5, importance={"4": [1.0]}), ValueError, "importance of '4'"),
        (lambda: structured_prune(model, 0.5, chains=[["9", "2"]]), AttributeError, "no submodule '9'"),
        (lambda: structured_prune(np.ones(3), 0.5), TypeError, "must be a Module"),  # type: ignore[arg-type]
        (lambda: structured_prune(gpt, 0.5, "channels"), CompressionError, "no channels"),
    ]
    for call, kind, message in wrong:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert str(caught.value).count("\n") <= 1
    assert numbers(model) == before and numbers(gpt) == before_gpt


def test_what_shares_weights_has_adapters_or_a_cache_is_refused() -> None:
    model = Sequential(Linear(4, 4), ReLU(), Linear(4, 4), ReLU(), Linear(4, 4))
    model[2].weight = model[0].weight
    before = numbers(model)
    with pytest.raises(CompressionError, match=r"0 shares weights \(0\.weight, 2\.weight\)"):
        structured_prune(model, 0.5)
    assert numbers(model) == before
    gpt = make_gpt()
    add_lora(gpt, 2)
    with pytest.raises(CompressionError, match="before adapters"):
        structured_prune(gpt, 0.5)
    remove_lora(gpt)
    gpt._cache_enabled = True
    with pytest.raises(CompressionError, match="disable_kv_cache"):
        structured_prune(gpt, 0.5, "heads")
    gpt._cache_enabled = False
    gpt.blocks[0].feed_forward.up.weight.data[0, 0] = np.inf
    with pytest.raises(CompressionError, match="not finite"):
        structured_prune(gpt, 0.5)
