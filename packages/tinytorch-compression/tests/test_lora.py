"""Adapters: what they compute, that they alone are learned, and that nothing is left of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.autograd import gradcheck
from tinytorch.compression import (
    LLAMA_NAMES,
    AdapterError,
    LoRALinear,
    add_lora,
    load_lora,
    lora_parameters,
    merge_lora,
    prune,
    remove_lora,
    save_lora,
)
from tinytorch.layers import CrossEntropyLoss, Linear, Module, Sequential, StateError, load_tensors, lower, save_tensors
from tinytorch.optim import AdamW
from tinytorch.tensor import FileFormatError, Tensor, manual_seed
from tinytorch.training import Trainer
from tinytorch.transformer import load_pretrained

from .models import example, floats, make_cnn, make_gpt, make_llama, make_mlp, numbers, rng, tokens

GOLDEN = Path(__file__).parent / "golden" / "peft"
MODELS: dict[str, Callable[[], Module]] = {"mlp": make_mlp, "cnn": make_cnn, "gpt": make_gpt, "llama": make_llama}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def stir(model: Module, seed: int = 5) -> None:
    """Give the adapters an effect, as training does."""
    draw = rng(seed)
    for _, parameter in lora_parameters(model):
        parameter.data[...] = draw.normal(size=parameter.shape) * 0.3


class Doubling(Module):
    """What acts like a linear layer, and has no weight that anything could be added to."""

    def __init__(self) -> None:
        self.in_features = self.out_features = 8

    def forward(self, x: Any) -> Any:
        return x + x


# What they compute


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_output_is_that_of_the_layer_and_the_product(inputs: int, outputs: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, min(inputs, outputs)))
    shape = data.draw(st.lists(st.integers(0, 3), max_size=2))
    model = Sequential(Linear(inputs, outputs, dtype=np.float64))
    base = model[0]
    add_lora(model, rank, alpha=3.0)
    x = floats(*shape, inputs, dtype=np.float64)
    assert_array_equal(model(x).data, base(x).data)  # B starts as zeros
    stir(model)
    layer = model[0]
    wanted = x.data @ (base.weight.data + 3 / rank * layer.lora_A.data @ layer.lora_B.data) + base.bias.data
    assert_allclose(model(x).data, wanted, rtol=1e-12, atol=1e-12)
    lowered = lower(layer)
    assert lowered is not None
    assert_array_equal(lowered(x.data), layer(x).data)


def test_gradients_are_those_of_finite_differences() -> None:
    layer = LoRALinear(Linear(4, 3, dtype=np.float64), 2, 1.5)
    layer.lora_B.data[...] = rng(1).normal(size=(2, 3))

    def through(x: Tensor, down: Tensor, up: Tensor) -> Any:
        vars(layer).update(lora_A=down, lora_B=up)  # gradcheck gives copies, which are no parameters
        return layer(x)

    x = floats(5, 4, dtype=np.float64)
    x.requires_grad = True
    assert gradcheck(through, [x, layer.lora_A, layer.lora_B])


def test_dropout_acts_on_the_adapter_alone_and_only_in_training() -> None:
    model = Sequential(Linear(64, 8))
    base = model[0]
    add_lora(model, 4, dropout=0.5, generator=rng())
    x = floats(3, 64)
    model.train()
    assert_array_equal(model(x).data, base(x).data)
    stir(model)
    assert not np.array_equal(model(x).data, model(x).data)
    assert lower(model) is None
    model.eval()
    assert_array_equal(model(x).data, model(x).data)
    assert lower(model) is not None


def test_anything_that_acts_like_a_linear_layer_is_served() -> None:
    model = Sequential(Doubling(), Linear(8, 2))
    add_lora(model, 2)
    stir(model)
    x = floats(3, 8)
    assert_allclose(model[0](x).data, x.data * 2 + x.data @ model[0].delta(), rtol=1e-5)
    with pytest.raises(AdapterError, match="0 is a Doubling"):
        merge_lora(model)
    remove_lora(model)
    assert isinstance(model[0], Doubling)


@every_model
def test_targets_choose_layers(make: Callable[[], Module]) -> None:
    model = make()
    linear = [name for name, module in model.named_modules() if isinstance(module, Linear)]
    add_lora(model, 2, targets=linear[:1])
    assert [name for name, module in model.named_modules() if isinstance(module, LoRALinear)] == linear[:1]
    remove_lora(model)
    add_lora(model, 2)
    assert [name for name, module in model.named_modules() if isinstance(module, LoRALinear)] == linear


def test_generation_is_the_same_lowered_or_not() -> None:
    model = make_gpt()
    add_lora(model, 2, ["q_proj", "v_proj", "up"])
    stir(model)
    lowered = lower(model)
    assert lowered is not None
    ids = tokens().data
    assert_array_equal(lowered(ids), model(ids).data)


# Learning


@every_model
def test_only_adapters_are_learned(make: Callable[[], Module]) -> None:
    model = make()
    before = numbers(model)["state"]
    parameters = add_lora(model, 2)
    assert model.num_parameters(trainable=True) == sum(parameter.size for _, parameter in parameters)
    optimizer = AdamW(model, lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (model(example(model)) ** 2).mean().backward()
        optimizer.step()
    assert all(np.abs(parameter.data).sum() > 0 for name, parameter in parameters)
    remove_lora(model)
    assert numbers(model)["state"] == before


def test_a_gpt_learns_a_new_text_through_its_adapters() -> None:
    model = make_gpt(tied=False)
    ids = np.arange(12).reshape(2, 6)
    batch = (Tensor(ids[:, :-1]), Tensor(ids[:, 1:]))
    before = model(ids).data
    optimizer = AdamW(add_lora(model, 4, alpha=16, generator=rng()), lr=3e-2, weight_decay=0.0)
    history = Trainer(model, optimizer, CrossEntropyLoss()).fit([batch], steps=100, progress=False)
    assert history.last("loss") < 0.5
    model.eval()
    adapted = model(ids).data
    merged = copy.deepcopy(model)
    merge_lora(merged)
    assert_allclose(merged(ids).data, adapted, atol=2e-4)
    remove_lora(model)
    assert_array_equal(model(ids).data, before)


# Undoing


@every_model
def test_nothing_is_left_after_removing(make: Callable[[], Module]) -> None:
    model = make().eval()
    first = model.parameters()[0]
    first.requires_grad = False  # and stays frozen
    before = numbers(model)
    add_lora(model, 2, dropout=0.1)
    stir(model)
    model.train()
    model.eval()
    remove_lora(model)
    assert numbers(model) == before
    assert not first.requires_grad


@every_model
def test_merging_keeps_the_outputs_and_leaves_no_trace_but_the_weights(make: Callable[..., Module]) -> None:
    model = make(dtype=np.float64)
    before = numbers(model)
    add_lora(model, 2, alpha=4)
    stir(model)
    x = example(model)
    adapted = model(x).data
    merge_lora(model)
    assert_allclose(model(x).data, adapted, rtol=1e-9, atol=1e-12)
    after = numbers(model)
    assert after["state"] != before["state"]
    assert after["state"].keys() == before["state"].keys()
    assert {**after, "state": 0} == {**before, "state": 0}


def test_a_layer_in_two_places_has_one_adapter() -> None:
    shared = Linear(4, 4)
    model = Sequential(shared, Linear(4, 4), shared)
    assert len(add_lora(model, 1)) == 4
    assert model[0] is model[2]
    remove_lora(model)
    assert model[0] is model[2] is shared


def test_a_copy_is_independent() -> None:
    model = make_gpt()
    add_lora(model, 2)
    twin = copy.deepcopy(model)
    stir(twin)
    assert not np.array_equal(twin(tokens()).data, model(tokens()).data)
    remove_lora(twin)
    merge_lora(model)
    assert numbers(twin) == numbers(model) == numbers(make_gpt())


# Files


@every_model
def test_saved_alone_and_loaded_into_another_copy(make: Callable[[], Module], tmp_path: Path) -> None:
    model, other = make(), make()
    add_lora(model, 2, alpha=3)
    stir(model)
    save_lora(model, tmp_path / "adapter")
    assert sorted(each.name for each in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    parameters = load_lora(other, tmp_path / "adapter")
    assert [name for name, _ in parameters] == [name for name, _ in lora_parameters(model)]
    assert numbers(other) == numbers(model)
    assert_array_equal(other(example(other)).data, model(example(model)).data)


def test_loading_draws_nothing_from_the_default_generator(tmp_path: Path) -> None:
    model = make_mlp()
    add_lora(model, 2)
    save_lora(model, tmp_path)
    manual_seed(3)
    first = floats(1)
    load_lora(make_mlp(), tmp_path)
    manual_seed(3)
    assert_array_equal(first.data, floats(1).data)


def test_adapters_of_the_peft_library_give_its_logits() -> None:
    """Made by tests-integration/golden/make_compression.py; transformers computes its norms in float32."""
    expected = np.load(GOLDEN / "expected.npz")
    model = load_pretrained(GOLDEN, np.float64)
    assert_allclose(model(expected["tokens"]).data, expected["base"], atol=1e-6)
    load_lora(model, GOLDEN / "adapter", LLAMA_NAMES)
    assert_allclose(model(expected["tokens"]).data, expected["adapted"], atol=1e-6)
    assert np.abs(expected["adapted"] - expected["base"]).max() > 0.1
    merge_lora(model)
    assert_allclose(model(expected["tokens"]).data, expected["adapted"], atol=1e-6)


def test_what_is_saved_is_what_peft_saved(tmp_path: Path) -> None:
    model = load_pretrained(GOLDEN)
    load_lora(model, GOLDEN / "adapter", LLAMA_NAMES)
    save_lora(model, tmp_path, LLAMA_NAMES)
    ours, theirs = (load_tensors(folder / "adapter_model.safetensors") for folder in (tmp_path, GOLDEN / "adapter"))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    known = json.loads((GOLDEN / "adapter" / "adapter_config.json").read_text())
    assert config.keys() <= known.keys()
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (2, 6, 0.1)
    again = load_pretrained(GOLDEN)
    load_lora(again, tmp_path, LLAMA_NAMES)
    assert [layer.scaling for layer in again.modules() if isinstance(layer, LoRALinear)] == [3, 2.5, 2] * 2


def test_rank_stabilized_scaling_is_read(tmp_path: Path) -> None:
    model = make_mlp()
    add_lora(model, 4, alpha=6)
    save_lora(model, tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_rslora": True}))
    other = make_mlp()
    load_lora(other, tmp_path)
    assert other[0].scaling == 3.0


# Bad input


def test_bad_arguments_are_refused_and_nothing_is_changed() -> None:
    model = make_mlp()
    before = numbers(model)
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: add_lora(model, 0), ValueError, "at least 1"),
        (lambda: add_lora(model, 2.0), TypeError, "must be an int"),  # type: ignore[arg-type]
        (lambda: add_lora(model, 5), AdapterError, r"rank 5 and 4 is \(12, 4\)"),
        (lambda: add_lora(model, 2, alpha=0), ValueError, "positive number"),
        (lambda: add_lora(model, 2, alpha=float("inf")), ValueError, "positive number"),
        (lambda: add_lora(model, 2, dropout=1.5), ValueError, "probability"),
        (lambda: add_lora(model, 2, "q_proj"), ValueError, "no layer is called 'q_proj'"),
        (lambda: add_lora(model, 2, "1"), ValueError, "1 is a ReLU"),
        (lambda: add_lora(np.ones(3), 2), TypeError, "must be a Module"),  # type: ignore[arg-type]
        (lambda: add_lora(model[0], 2), AdapterError, "itself the layer"),
        (lambda: merge_lora(model), AdapterError, "no adapters"),
        (lambda: remove_lora(model), AdapterError, "no adapters"),
        (lambda: save_lora(model, "nowhere"), AdapterError, "no adapters"),
    ]
    for call, kind, message in wrong:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert str(caught.value).count("\n") <= 1
    assert numbers(model) == before


def test_adapters_on_adapters_are_refused(tmp_path: Path) -> None:
    model = make_mlp()
    add_lora(model, 2)
    save_lora(model, tmp_path)
    before = numbers(model)
    for call in (lambda: add_lora(model, 2), lambda: load_lora(model, tmp_path), lambda: remove_lora(model[2:])):
        with pytest.raises(AdapterError):
            call()
    assert numbers(model) == before


def test_a_merge_that_would_change_more_is_refused() -> None:
    model = Sequential(Linear(4, 4), Linear(4, 4))
    model[1].weight = model[0].weight
    add_lora(model, 1, "0")
    with pytest.raises(AdapterError, match="shares its weight"):
        merge_lora(model)
    remove_lora(model)
    pruned = make_mlp()
    prune(pruned, 0.5)
    add_lora(pruned, 2)
    before = numbers(pruned)
    with pytest.raises(AdapterError, match="fills its zeros"):
        merge_lora(pruned)
    assert numbers(pruned) == before
    broken = make_mlp()
    add_lora(broken, 2)
    broken[2].lora_B.data[0] = np.nan
    stir_before = broken[0].base.weight.data.copy()
    with pytest.raises(AdapterError, match="not be finite"):
        merge_lora(broken)
    assert_array_equal(broken[0].base.weight.data, stir_before)


@pytest.mark.parametrize(("alpha", "rank"), [(1 / 3, 2), (1e-7, 2), (0.1, 3), (16.0, 3), (np.pi, 3)])
def test_the_strength_of_saved_adapters_is_exact(alpha: float, rank: int, tmp_path: Path) -> None:
    model, other = make_mlp(), make_mlp()
    add_lora(model, rank, alpha=alpha)
    save_lora(model, tmp_path)
    load_lora(other, tmp_path)
    assert other[0].scaling == model[0].scaling


def test_two_layers_of_one_name_are_not_saved(tmp_path: Path) -> None:
    model = Sequential(Linear(4, 4), Linear(4, 4))
    add_lora(model, 2)
    with pytest.raises(AdapterError, match="another 'layer'"):
        save_lora(model, tmp_path / "new", {"{i}": "layer"})
    assert not (tmp_path / "new").exists()


def saved(tmp_path: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    model = make_mlp()
    add_lora(model, 2)
    save_lora(model, tmp_path)
    return (
        tmp_path,
        json.loads((tmp_path / "adapter_config.json").read_text()),
        load_tensors(tmp_path / "adapter_model.safetensors"),
    )


CONFIGS: dict[str, tuple[Any, str]] = {
    "not json": ("{", "is not JSON"),
    "a list": ([], "does not describe LoRA"),
    "another kind": ({"peft_type": "IA3"}, "does not describe LoRA"),
    "dora": ({"use_dora": True}, "use_dora"),
    "whole layers": ({"modules_to_save": ["head"]}, "modules_to_save"),
    "biases": ({"bias": "all"}, "asks for bias"),
    "text for a number": ({"lora_alpha": "16"}, "'16' where a number"),
    "nothing for a number": ({"lora_alpha": None}, "None where a number"),
    "infinite": ({"lora_alpha": float("inf")}, "inf where a number"),
    "no probability": ({"lora_dropout": 2}, "probability"),
    "patterns in a list": ({"alpha_pattern": [1]}, "a number for each name"),
    "patterns in a number": ({"alpha_pattern": 5}, "a number for each name"),
    "larger than a float": ({"lora_alpha": 10**400}, "where a number"),
    "patterns of text": ({"alpha_pattern": {"0": "1"}}, "where a number"),
    "large": (" " * (2**20 + 1), "bytes"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_damaged_configurations_are_refused(name: str, tmp_path: Path) -> None:
    folder, config, _ = saved(tmp_path)
    change, message = CONFIGS[name]
    text = change if isinstance(change, str) else json.dumps({**config, **change} if change else change)
    (folder / "adapter_config.json").write_text(text)
    model = make_mlp()
    before = numbers(model)
    with pytest.raises(FileFormatError, match=message):
        load_lora(model, folder)
    assert numbers(model) == before


def test_damaged_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    folder, _, tensors = saved(tmp_path)
    path = folder / "adapter_model.safetensors"
    name = "base_model.model.0.lora_A.weight"
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({**tensors, name: tensors[name][:, :-1]}, AdapterError, r"for \(7, 16\), the layer is \(8, 16\)"),
        ({**tensors, name: tensors[name][:1]}, FileFormatError, r"lora_A is \(rank, in\)"),
        ({**tensors, name: tensors[name][:0]}, FileFormatError, r"lora_A is \(rank, in\)"),
        ({**tensors, name: tensors[name][0]}, FileFormatError, "no adapter of a linear layer"),
        ({key: value for key, value in tensors.items() if key != name}, FileFormatError, r"lora_B \(out, rank\)"),
        ({**tensors, "base_model.model.0.weight": np.ones((8, 16))}, FileFormatError, "no adapter of a linear layer"),
        ({key.replace("model.0", "model.9"): value for key, value in tensors.items()}, AdapterError, "another model"),
        ({key.replace("model.0", "model.1"): value for key, value in tensors.items()}, AdapterError, "another model"),
        ({}, FileFormatError, "no adapters"),
        ({key: value.astype(np.float64) for key, value in tensors.items()}, StateError, "wrong dtype"),
    ]
    for content, kind, message in cases:
        save_tensors(content, path)
        model = make_mlp()
        before = numbers(model)
        with pytest.raises(kind, match=message) as caught:
            load_lora(model, folder)
        assert kind is StateError or str(caught.value).count("\n") <= 1
        assert numbers(model) == before
    path.write_bytes(b"not safetensors")
    with pytest.raises(FileFormatError, match="truncated"):
        load_lora(make_mlp(), folder)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        load_lora(make_mlp(), folder)
    with pytest.raises(FileNotFoundError, match="save_lora wrote"):
        load_lora(make_mlp(), folder / "nowhere")


def test_names_that_leave_a_layer_out_are_refused(tmp_path: Path) -> None:
    model = make_gpt()
    add_lora(model, 2, "q_proj")
    with pytest.raises(AdapterError, match=r"what blocks\.0\.attention\.q_proj is called"):
        save_lora(model, tmp_path, {"head": "lm_head"})
    assert list(tmp_path.iterdir()) == []
    save_lora(model, tmp_path)
    with pytest.raises(AdapterError, match="another model"):
        load_lora(make_gpt(), tmp_path, {"head": "lm_head"})


def test_folders_that_cannot_be_written_to(tmp_path: Path) -> None:
    model = make_mlp()
    add_lora(model, 2)
    (tmp_path / "file").write_text("taken")
    with pytest.raises(FileExistsError):
        save_lora(model, tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        save_lora(model, tmp_path / "missing" / "folder")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
