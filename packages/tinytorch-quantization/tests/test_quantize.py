"""Layers of a model give way to layers of codes, and come back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.layers import (
    Embedding,
    LayerNorm,
    Linear,
    Module,
    ModuleList,
    ReLU,
    Sequential,
    StateError,
    load,
    save,
)
from tinytorch.quantization import (
    QuantizationError,
    QuantizedEmbedding,
    QuantizedLinear,
    dequantize,
    quantize,
)
from tinytorch.tensor import Tensor, manual_seed
from tinytorch.transformer import BERT, GPT, EncoderDecoder, TransformerConfig


@pytest.fixture(autouse=True)
def seeded() -> None:
    manual_seed(0)


def gpt(**options: Any) -> GPT:
    return GPT(vocab_size=20, embed_dim=16, num_layers=2, num_heads=2, max_seq_len=32, **options).eval()


def layers_of(model: Module) -> dict[str, str]:
    return {name: type(layer).__name__ for name, layer in model.named_modules(remove_duplicate=False)}


def test_every_layer_of_a_model_is_replaced() -> None:
    model = gpt(tied=False)
    before = layers_of(model)
    assert quantize(model) is model
    found = layers_of(model)
    assert found.keys() == before.keys()
    for name, kind in before.items():
        assert found[name] == {"Linear": "QuantizedLinear", "Embedding": "QuantizedEmbedding"}.get(kind, kind)
    dequantize(model)
    assert layers_of(model) == before


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_quantized_model_computes_what_its_numbers_say(bits: int, symmetric: bool) -> None:
    model = gpt(dtype="float64")
    quantize(model, bits, 8, symmetric=symmetric)
    floats = dequantize(copy.deepcopy(model))
    tokens = [[3, 1, 4, 1, 5]]
    np.testing.assert_allclose(model(tokens).data, floats(tokens).data, rtol=1e-10, atol=1e-12)


def test_tied_head_uses_the_codes_of_the_table() -> None:
    model = quantize(gpt(tied=True))
    assert isinstance(model.token_embedding, QuantizedEmbedding) and model.head is None
    before = model([[1, 2]]).data
    model.token_embedding.scale.data[:] *= 0  # no scores without it
    assert before.any() and not model([[1, 2]]).data.any()


def families() -> dict[str, tuple[Module, tuple[Any, ...]]]:
    sizes: dict[str, Any] = {"vocab_size": 20, "embed_dim": 16, "num_layers": 2, "num_heads": 2, "max_seq_len": 32}
    tokens = [[3, 1, 4, 1, 5]]
    return {
        "GPT-2": (gpt(), (tokens,)),
        "Llama": (GPT.from_config(TransformerConfig.llama(**sizes)), (tokens,)),
        "BERT": (BERT(TransformerConfig.bert(**sizes), masked_lm=True), (tokens,)),
        "original": (EncoderDecoder(TransformerConfig.original(**sizes)), (tokens, [[1, 2]])),
    }


@pytest.mark.parametrize("family", ["GPT-2", "Llama", "BERT", "original"])
def test_every_family_stays_close(family: str) -> None:
    model, inputs = families()[family]
    model.eval()

    def compute() -> np.ndarray[Any, Any]:
        out = model(*inputs)
        return (model.token_logits(out) if isinstance(model, BERT) else out).data

    exact = compute()
    quantize(model)
    assert model.num_parameters() < 2000
    assert 0 < np.abs(compute() - exact).max() < 0.03 * np.abs(exact).max()


def test_names_and_classes_choose() -> None:
    model = gpt()
    quantize(model, 4, 8, include="blocks.*.up")
    assert sorted(name for name, kind in layers_of(model).items() if kind.startswith("Q")) == [
        "blocks.0.feed_forward.up", "blocks.1.feed_forward.up",
    ]  # fmt: skip
    quantize(model, 8, include=[Embedding, "blocks.0.*"], exclude=["*.down", "blocks.*.q_proj"])
    kinds = layers_of(model)
    assert kinds["token_embedding"] == "QuantizedEmbedding" and kinds["blocks.0.attention.k_proj"] == "QuantizedLinear"
    assert kinds["blocks.0.feed_forward.down"] == kinds["blocks.0.attention.q_proj"] == "Linear"
    assert model.blocks[0].feed_forward.up.scheme.bits == 4
    dequantize(model, include=QuantizedEmbedding)
    assert layers_of(model)["token_embedding"] == "Embedding"


def test_what_is_shared_stays_shared() -> None:
    layer, other = Linear(4, 4), Linear(4, 4)
    other.weight = layer.weight
    model = Sequential(layer, ReLU(), layer, other)
    before = model.nbytes
    quantize(model)
    assert model[0] is model[2] and model[0] is not model[3]
    assert np.shares_memory(model[0].weight.data, model[3].weight.data)
    assert model.nbytes == 16 + 4 * 4 + 2 * 4 * 4 < before
    dequantize(model)
    assert model[0] is model[2]
    assert model[0].weight is model[3].weight


def test_a_table_and_a_linear_layer_of_one_weight_have_codes_of_their_own() -> None:
    """Rows of codes are outputs, columns of the one and rows of the other."""
    table, linear = Embedding(6, 6), Linear(6, 6, bias=False)
    linear.weight = table.weight
    model = Sequential(table, linear)
    exact = model([1, 2]).data
    quantize(model)
    np.testing.assert_allclose(model([1, 2]).data, exact, atol=0.05 * np.abs(exact).max())


def test_a_layer_by_itself_is_returned_as_another() -> None:
    layer = Linear(4, 2)
    found = quantize(layer)
    assert isinstance(found, QuantizedLinear) and type(layer) is Linear
    assert found.bias is layer.bias
    assert isinstance(dequantize(found), Linear)


def test_mode_is_kept() -> None:
    model = Sequential(Linear(4, 4), Sequential(Linear(4, 4)))
    model[1].eval()
    quantize(model)
    assert [module.training for module in model.modules()] == [True, True, False, False]


def test_bytes_are_counted() -> None:
    model = Sequential(Linear(64, 32, bias=False))
    assert model.nbytes == 4 * 64 * 32
    assert quantize(copy.deepcopy(model), 8).nbytes == 64 * 32 + 4 * 32
    assert quantize(copy.deepcopy(model), 4, 16).nbytes == 64 * 32 // 2 + 4 * 32 * 4
    assert quantize(copy.deepcopy(model), 4, 16, symmetric=False).nbytes == 64 * 32 // 2 + 5 * 32 * 4


def test_codes_are_state_and_not_learned(tmp_path: Path) -> None:
    model = quantize(gpt(), 4, 8, symmetric=False)
    names = {name for name in model.state_dict() if name.startswith("blocks.0.feed_forward.up")}
    assert names == {f"blocks.0.feed_forward.up.{part}" for part in ("weight", "scale", "zero_point", "bias")}
    assert all(parameter.dtype.kind == "f" for parameter in model.requires_grad_(True).parameters())
    save(model, tmp_path / "model.safetensors")
    other = quantize(gpt(), 4, 8, symmetric=False)
    tokens = [[1, 2, 3]]
    assert not np.array_equal(other(tokens).data, model(tokens).data)
    load(other, tmp_path / "model.safetensors")
    assert np.array_equal(other(tokens).data, model(tokens).data)
    for wrong in (gpt(), quantize(gpt(), 8), quantize(gpt(), 4, 4, symmetric=False), quantize(gpt(), 4, 8)):
        with pytest.raises(StateError):
            load(wrong, tmp_path / "model.safetensors")


def test_gradients_reach_what_stands_below() -> None:
    model = Sequential(Linear(8, 8), LayerNorm(8), Linear(8, 4))
    quantize(model, include="2")
    model(Tensor(np.ones((2, 8)))).sum().backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == {
        "0.weight", "0.bias", "1.weight", "1.bias", "2.bias",
    }  # fmt: skip


def test_float64_model_stays_one() -> None:
    model = quantize(gpt(dtype="float64"))
    assert model([[1, 2]]).dtype == np.float64
    assert dequantize(model).token_embedding.weight.dtype == np.float64


def test_text_says_what_a_layer_is() -> None:
    model = ModuleList([Linear(8, 4, bias=False), Linear(8, 4), Embedding(8, 4, padding_idx=1)])
    quantize(model, 4, 2, symmetric=False)
    assert [layer.extra_repr() for layer in model] == [
        "8, 4, bias=False, int4, group_size=2, symmetric=False",
        "8, 4, int4, group_size=2, symmetric=False",
        "8, 4, padding_idx=1, int4, group_size=2, symmetric=False",
    ]


class Own(Linear):
    def forward(self, x: Any) -> Tensor:
        return super().forward(x) * 2


def with_forward() -> Module:
    layer = Linear(4, 4)
    layer.forward = lambda x: x  # type: ignore[method-assign]
    return Sequential(layer)


def with_hook() -> Module:
    model = Sequential(Linear(4, 4))
    model[0].register_forward_hook(lambda *_: None)
    return model


def infinite() -> Module:
    model = Sequential(Linear(4, 4), Linear(4, 4))
    model[1].weight.data[0, 0] = np.inf
    return model


PAIR = lambda: Sequential(Linear(4, 4), Linear(4, 3))  # noqa: E731
REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], type[Exception], str]] = {
    "bits of a float": (PAIR, {"bits": 8.0}, TypeError, "must be an int"),
    "no bits": (PAIR, {"bits": 1}, ValueError, "at least 2"),
    "many bits": (PAIR, {"bits": 16}, QuantizationError, "2 to 8"),
    "group of none": (PAIR, {"group_size": 0}, ValueError, "at least 1"),
    "groups that do not divide": (PAIR, {"group_size": 3}, QuantizationError, "0: rows of 4 weights in groups of 3"),
    "odd rows": (lambda: Sequential(Linear(3, 4)), {"bits": 4}, QuantizationError, "two in a byte"),
    "symmetric": (PAIR, {"symmetric": "no"}, TypeError, "True or False"),
    "twice": (lambda: quantize(PAIR()), {}, QuantizationError, "0 is quantized already; dequantize"),
    "partly twice": (lambda: quantize(PAIR(), include="1"), {}, QuantizationError, "1 is quantized already"),
    "twice by name": (lambda: quantize(PAIR()), {"include": "1"}, QuantizationError, "1 is quantized already"),
    "itself twice": (lambda: quantize(Linear(4, 4)), {}, QuantizationError, "the model is quantized already"),
    "no such name": (PAIR, {"include": "2"}, QuantizationError, "no such layer"),
    "no such exception": (PAIR, {"exclude": ["head"]}, QuantizationError, "exclude 'head'"),
    "another layer by name": (lambda: Sequential(ReLU()), {"include": "0"}, QuantizationError, "0 is a ReLU"),
    "another class": (PAIR, {"include": ReLU}, QuantizationError, "ReLU: Sequential has no such layer"),
    "neither name nor class": (PAIR, {"include": [3]}, TypeError, "names or classes"),
    "nothing there": (lambda: Sequential(ReLU()), {}, QuantizationError, "nothing to do"),
    "nothing left": (PAIR, {"exclude": Linear}, QuantizationError, "nothing to do"),
    "not a model": (lambda: [Linear(4, 4)], {}, TypeError, "must be a Module"),
    "a forward of its own": (with_forward, {}, QuantizationError, "forward of its own"),
    "a subclass by name": (lambda: Sequential(Own(4, 4)), {"include": "0"}, QuantizationError, "0 is a Own"),
    "hooks": (with_hook, {}, QuantizationError, "0 has hooks"),
    "infinite": (infinite, {}, QuantizationError, "1: infinity or NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_and_nothing_changes(case: str) -> None:
    make, options, error, message = REFUSED[case]
    model = make()
    before = None if isinstance(model, list) else (layers_of(model), [id(each) for each in model.modules()])
    with pytest.raises(error, match=message) as caught:
        quantize(model, **options)
    assert len(str(caught.value).splitlines()) <= 2
    if before is not None:
        assert before == (layers_of(model), [id(each) for each in model.modules()])


def test_dequantizing_floats_is_refused() -> None:
    with pytest.raises(QuantizationError, match="dequantize: nothing to do"):
        dequantize(PAIR())
