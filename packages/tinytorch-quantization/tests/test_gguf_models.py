"""Models and tokenizers in GGUF files compute here what transformers computes from the same numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.layers import Linear, Module
from tinytorch.quantization import (
    QuantizedEmbedding,
    QuantizedLinear,
    dequantize,
    load_gguf,
    quantize,
    read_gguf,
    save_gguf,
    write_gguf,
)
from tinytorch.quantization.gguf.blocks import decode
from tinytorch.quantization.gguf.families import canonical
from tinytorch.quantization.gguf.names import interleave, split_halves
from tinytorch.tensor import FileFormatError
from tinytorch.tokenizers import GPT2_PATTERN, LLAMA3_PATTERN, BPETokenizer, CharTokenizer
from tinytorch.transformer import BERT, GPT, TransformerConfig

GOLDEN = Path(__file__).parent / "golden" / "gguf"
DECODERS = {"gpt2_q8_0": 1e-12, "llama_q4_0": 5e-6, "llama_f16": 5e-6, "llama_bf16": 5e-6}
WORDS = {"gpt2_q8_0": "gpt2", "llama_q4_0": "llama3"}
TOKENS = np.random.default_rng(0).integers(0, 48, (2, 9))


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("name", DECODERS)
def test_logits_and_greedy_tokens_equal_transformers(name: str, quantized: bool) -> None:
    model, _ = load_gguf(GOLDEN / f"{name}.gguf", "float64", quantized=quantized)
    expected = np.load(GOLDEN / f"{name}.npz")
    assert isinstance(model, GPT) and not model.training
    np.testing.assert_allclose(model(expected["tokens"]).data, expected["logits"], atol=DECODERS[name])
    greedy = model.generate(expected["tokens"], 8, temperature=0, stop=[])
    assert np.array_equal(greedy.data, expected["greedy"])


def test_bert_equals_transformers() -> None:
    model, words = load_gguf(GOLDEN / "bert_f16.gguf", "float64")
    expected = np.load(GOLDEN / "bert_f16.npz")
    assert isinstance(model, BERT) and words is None
    np.testing.assert_allclose(model(expected["tokens"]).data, expected["hidden"], atol=1e-12)


@pytest.mark.parametrize("name", WORDS)
def test_ids_equal_those_of_the_tokenizer_that_was_stored(name: str) -> None:
    texts, ids = json.loads((GOLDEN / f"{WORDS[name]}.ids.json").read_text())
    model, tokenizer = load_gguf(GOLDEN / f"{name}.gguf")
    assert isinstance(tokenizer, BPETokenizer) and isinstance(model, GPT)
    assert [tokenizer.encode(text) for text in texts] == ids
    assert model.config.stop_tokens == (tokenizer.token_to_id("<eos>"),)
    with read_gguf(GOLDEN / f"{name}.gguf") as file:
        assert file.metadata["tokenizer.chat_template"].startswith("{% for m")


@pytest.mark.parametrize("name, bits", [("gpt2_q8_0", 8), ("llama_q4_0", 4)])
def test_codes_and_scales_are_those_of_the_file(name: str, bits: int) -> None:
    model, _ = load_gguf(GOLDEN / f"{name}.gguf")
    assert isinstance(model, GPT)
    down = model.get_submodule("blocks.1.feed_forward.down")
    assert isinstance(down, QuantizedLinear) and isinstance(model.token_embedding, QuantizedEmbedding)
    assert (down.scheme.bits, down.scheme.group_size, down.scale.dtype) == (bits, 32, np.float32)
    assert not any(type(module) is Linear for _, module in model.named_modules())
    with read_gguf(GOLDEN / f"{name}.gguf") as file:
        blocks = file.blocks("blk.1.ffn_down.weight")
        assert np.array_equal(down.scale.data.reshape(-1), blocks["d"])
        assert np.array_equal(down.numbers(), file["blk.1.ffn_down.weight"])
        assert np.array_equal(model.token_embedding.numbers(), file["token_embd.weight"])


def test_llama3_frequencies_come_from_the_file() -> None:
    model, _ = load_gguf(GOLDEN / "llama_q4_0.gguf")
    scaling = model.config.rotary_scaling
    assert scaling is not None and scaling["rope_type"] == "factors" and len(scaling["factors"]) == 4
    assert scaling["factors"][0] == 1.0 and scaling["factors"][-1] == 8.0
    linear = load_gguf(GOLDEN / "llama_f16.gguf")[0].config.rotary_scaling
    assert linear == {"rope_type": "linear", "factor": 2.0}


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 3))
def test_rows_of_pairs_come_back(heads: int, pairs: int, width: int) -> None:
    rows = np.arange(heads * 2 * pairs * width).reshape(heads * 2 * pairs, width)
    there = interleave(rows, heads)
    assert np.array_equal(split_halves(there, heads), rows)
    for h in range(heads):
        for pair in range(pairs):  # what is rotated together stands together
            start = 2 * pairs * h
            assert np.array_equal(there[start + 2 * pair], rows[start + pair])
            assert np.array_equal(there[start + 2 * pair + 1], rows[start + pairs + pair])


LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
SIZES: dict[str, Any] = {"vocab_size": 300, "embed_dim": 64, "num_layers": 2, "num_heads": 4, "max_seq_len": 32}
CONFIGS = {
    "gpt2": TransformerConfig.gpt2(**SIZES, stop_tokens=(7,)),
    "gpt2, untied": TransformerConfig.gpt2(**SIZES, tied=False, dropout=0.1, norm_eps=1e-6, hidden_dim=96),
    "llama": TransformerConfig.llama(**SIZES, hidden_dim=192, tied=False, stop_tokens=(1, 5, 2)),
    "llama, tied": TransformerConfig.llama(**SIZES, num_kv_heads=2, bias=True, rotary_base=500000.0),
    "llama, llama3": TransformerConfig.llama(**SIZES, num_kv_heads=1, rotary_scaling=LLAMA3, attention_bias=True),
    "llama, linear": TransformerConfig.llama(
        **SIZES, head_dim=8, rotary_scaling={"rope_type": "linear", "factor": 4.0}, stop_tokens=(9, 8, 7, 6)
    ),
    "bert": TransformerConfig.bert(**SIZES),
    "bert, no segments": TransformerConfig.bert(**SIZES | {"vocab_size": 99}, num_segments=0),
}


def model_of(name: str) -> GPT | BERT:
    rng, config = np.random.default_rng(1), CONFIGS[name]
    made = BERT(config, generator=rng) if "bert" in name else GPT.from_config(config, generator=rng)
    for parameter in made.parameters():
        parameter.data += rng.normal(0, 0.1, parameter.shape).astype(np.float32)
    return made.eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_floats_come_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    save_gguf(model, tmp_path / "x.gguf", type="F32")
    again, _ = load_gguf(tmp_path / "x.gguf")
    assert canonical(again.config) == canonical(model.config)
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key].data, theirs[key].data) for key in ours)
    assert np.array_equal(again(TOKENS).data, model(TOKENS).data)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "F16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_rounded_weights_come_back_with_the_same_bytes(name: str, kind: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    save_gguf(model_of(name), first, type=kind)
    again, _ = load_gguf(first)
    save_gguf(again, second, type="F16")
    assert second.read_bytes() == first.read_bytes()  # codes are not rounded a second time
    floats, _ = load_gguf(first, quantized=False)
    np.testing.assert_allclose(again(TOKENS).data, floats(TOKENS).data, atol=2e-5)


def test_types_of_tensors(tmp_path: Path) -> None:
    save_gguf(model_of("gpt2"), tmp_path / "x.gguf")
    with read_gguf(tmp_path / "x.gguf") as file:
        kinds = {name: file.types[name] for name in file if not name.startswith("blk.1")}
        assert kinds["token_embd.weight"] == kinds["blk.0.attn_qkv.weight"] == "Q8_0"
        assert kinds["position_embd.weight"] == kinds["blk.0.attn_qkv.bias"] == kinds["output_norm.weight"] == "F32"
        assert file.shapes["blk.0.attn_qkv.weight"] == (192, 64)
        assert file.metadata["general.file_type"] == 7
    narrow = TransformerConfig.llama(**SIZES | {"embed_dim": 48}, hidden_dim=64)  # 48 is not a multiple of 32
    save_gguf(GPT.from_config(narrow), tmp_path / "x.gguf")
    with read_gguf(tmp_path / "x.gguf") as file:
        assert (file.types["blk.0.ffn_down.weight"], file.types["blk.0.ffn_up.weight"]) == ("Q8_0", "F16")


@pytest.mark.parametrize("bits, kind", [(8, "Q8_0"), (4, "Q4_0")])
@pytest.mark.parametrize("group_size", [32, 64])
def test_layers_quantized_here_keep_their_codes(bits: int, kind: str, group_size: int, tmp_path: Path) -> None:
    model = model_of("llama")
    quantize(model, bits=bits, group_size=group_size)
    save_gguf(model, tmp_path / "x.gguf", type="F32")
    again, _ = load_gguf(tmp_path / "x.gguf")
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear | QuantizedEmbedding):
            other = again.get_submodule(name)
            assert isinstance(other, type(module)) and np.array_equal(other.weight.data, module.weight.data)
            scale = np.repeat(module.scale.data, group_size // 32, axis=1)
            assert np.array_equal(other.scale.data, scale.astype(np.float16))
    with read_gguf(tmp_path / "x.gguf") as file:
        assert file.types["blk.0.attn_q.weight"] == kind
    np.testing.assert_allclose(again(TOKENS).data, model(TOKENS).data, atol=0.02)


@pytest.mark.parametrize("bits, kind", [("float16", "F16"), ("bfloat16", "BF16")])
def test_layers_of_16_bits_keep_their_numbers(bits: str, kind: str, tmp_path: Path) -> None:
    model = model_of("llama")
    quantize(model, bits=bits)
    save_gguf(model, tmp_path / "x.gguf", type="F32")
    again, _ = load_gguf(tmp_path / "x.gguf")
    assert np.array_equal(again(TOKENS).data, dequantize(model)(TOKENS).data)
    with read_gguf(tmp_path / "x.gguf") as file:
        assert file.types["blk.0.attn_q.weight"] == kind


TEXTS = ["Hello there <eos> friend", "naïve 猫 12345", "<user> it's THEY'RE\n\n  ", "don't <eos"]


def tokenizer_of(pattern: str) -> BPETokenizer:
    return BPETokenizer.train(TEXTS * 3, 280, ["<bos>", "<eos>"], pattern=pattern)


@pytest.mark.parametrize("pattern", [GPT2_PATTERN, LLAMA3_PATTERN])
@pytest.mark.parametrize("ignore_merges", [False, True])
@pytest.mark.parametrize("around", ["", "bos", "eos", "both"])
def test_tokenizer_comes_back(pattern: str, ignore_merges: bool, around: str, tmp_path: Path) -> None:
    document = tokenizer_of(pattern).document
    document["model"]["ignore_merges"] = ignore_merges and pattern == LLAMA3_PATTERN
    document["added_tokens"].append({"id": 290, "content": "<user>", "special": False, "normalized": False})
    before = [{"SpecialToken": {"id": "<bos>", "type_id": 0}}] if around in ("bos", "both") else []
    after = [{"SpecialToken": {"id": "<eos>", "type_id": 0}}] if around in ("eos", "both") else []
    if around:
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [*before, {"Sequence": {"id": "A", "type_id": 0}}, *after],
            "pair": [],
            "special_tokens": {
                each: {"id": each, "ids": [i], "tokens": [each]} for i, each in enumerate(["<bos>", "<eos>"])
            },
        }
    tokenizer = BPETokenizer(document)
    model = GPT(**SIZES, stop_tokens=(1,))
    save_gguf(model, tmp_path / "x.gguf", tokenizer, metadata={"tokenizer.chat_template": "{{ x }}"})
    again, same = load_gguf(tmp_path / "x.gguf")
    assert same is not None and again.config.stop_tokens == (1,)
    assert same.vocab == tokenizer.vocab and same.special_tokens == tokenizer.special_tokens
    for text in TEXTS:
        assert same.encode(text) == tokenizer.encode(text)
        assert same.encode(text, allowed_special=()) == tokenizer.encode(text, allowed_special=())
        assert same.decode(same.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    with read_gguf(tmp_path / "x.gguf") as file:
        assert file.metadata["tokenizer.chat_template"] == "{{ x }}"
        assert len(file.metadata["tokenizer.ggml.tokens"]) == 300
    assert load_gguf(tmp_path / "x.gguf", tokenizer=False)[1] is None


def test_digits_one_by_one(tmp_path: Path) -> None:
    document = tokenizer_of(GPT2_PATTERN).document
    steps = [{"type": "Digits", "individual_digits": True}, document["pre_tokenizer"]]
    tokenizer = BPETokenizer(document | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}})
    save_gguf(GPT(**SIZES), tmp_path / "x.gguf", tokenizer)
    same = load_gguf(tmp_path / "x.gguf")[1]
    assert same is not None and same.encode("x 12345 6") == tokenizer.encode("x 12345 6")
    with read_gguf(tmp_path / "x.gguf") as file:
        assert file.metadata["tokenizer.ggml.pre"] == "smollm"


def changed(folder: Path, name: str, values: dict[str, Any], tensors: dict[str, Any]) -> Path:
    """A golden file with other metadata and tensors; None removes one."""
    with read_gguf(GOLDEN / f"{name}.gguf") as file:
        said = {**file.metadata, **values}
        numbers = {**{each: decode(file.types[each], file.blocks(each)).reshape(file.shapes[each]) for each in file}}
    arrays = {each: array for each, array in (numbers | tensors).items() if array is not None}
    path = folder / "changed.gguf"
    write_gguf(path, arrays, {each: value for each, value in said.items() if value is not None})
    return path


row = np.ones((1, 32), np.float32)
MISFITS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "no architecture": ("llama_f16", {"general.architecture": None}, {}, "general.architecture is None; known are"),
    "another architecture": ("llama_f16", {"general.architecture": "mamba"}, {}, "is 'mamba'; known are gpt2, llama"),
    "architecture that is no text": ("llama_f16", {"general.architecture": [1]}, {}, "known are gpt2, llama, bert"),
    "no size": ("llama_f16", {"llama.embedding_length": None}, {}, "has no llama.embedding_length"),
    "size that is no integer": ("llama_f16", {"llama.block_count": 2.0}, {}, "llama.block_count is 2.0"),
    "size 0": ("gpt2_q8_0", {"gpt2.attention.head_count": 0}, {}, "gpt2.attention.head_count is 0"),
    "a billion blocks": ("llama_f16", {"llama.block_count": 10**9}, {}, "has 2 blocks where block_count says 10000"),
    "another width": ("gpt2_q8_0", {"gpt2.embedding_length": 64}, {}, "wrong shape: token_embd.weight (400, 32), not"),
    "a huge width": ("llama_f16", {"llama.feed_forward_length": 2**30}, {}, "wrong shape: blk.0.ffn_gate.weight"),
    "other heads": ("llama_f16", {"llama.attention.head_count": 8}, {}, "llama.rope.dimension_count is 8; only 4"),
    "more positions": ("gpt2_q8_0", {"gpt2.context_length": 2**30}, {}, "position_embd.weight (24, 32), not"),
    "experts": ("llama_f16", {"llama.expert_count": 8}, {}, "llama.expert_count is 8; only 0 is known"),
    "another scaling": ("llama_f16", {"llama.rope.scaling.type": "yarn"}, {}, "'yarn'; known are 'none' and 'linear'"),
    "factor 0": ("llama_f16", {"llama.rope.scaling.factor": 0.0}, {}, "rope.scaling.factor is 0.0"),
    "epsilon that is text": ("gpt2_q8_0", {"gpt2.attention.layer_norm_epsilon": "1"}, {}, "it is a number above 0"),
    "stop token that is text": ("gpt2_q8_0", {"tokenizer.ggml.eos_token_id": "2"}, {}, "tokens are integers"),
    "a causal BERT": ("bert_f16", {"bert.attention.causal": True}, {}, "only False is known"),
    "no embedding": ("llama_f16", {}, {"token_embd.weight": None}, "has no token_embd.weight"),
    "missing": ("llama_f16", {}, {"blk.1.ffn_up.weight": None}, "missing: blk.1.ffn_up.weight"),
    "left over": ("llama_f16", {}, {"blk.1.more.weight": row}, "unexpected: blk.1.more.weight"),
    "wrong axes": ("llama_f16", {}, {"output_norm.weight": row}, "output_norm.weight (1, 32), not (32,)"),
    "frequencies of another size": ("llama_q4_0", {}, {"rope_freqs.weight": row[0]}, "(32,); it must be (4,)"),
    "frequencies of 0": ("llama_q4_0", {}, {"rope_freqs.weight": row[0, :4] * 0}, "no numbers above 0"),
    "frequencies that contradict": (
        "llama_q4_0", {f"tinytorch.rope.{each}": LLAMA3[each] for each in LLAMA3 if each != "rope_type"},
        {"rope_freqs.weight": row[0, :4]}, "contradicts tinytorch.rope",
    ),
    "beyond float32": ("llama_f16", {}, {"output_norm.weight": np.full(32, 1e300)}, "are too large for float32"),
    "integers": ("llama_f16", {}, {"output_norm.weight": np.ones(32, np.int32)}, "output_norm.weight is I32"),
    "another tokenizer": ("gpt2_q8_0", {"tokenizer.ggml.model": "llama"}, {}, "load_gguf(path, tokenizer=False)"),
    "another pre-tokenizer": ("gpt2_q8_0", {"tokenizer.ggml.pre": "qwen2"}, {}, "is 'qwen2'; known are gpt-2"),
    "no tokens": ("gpt2_q8_0", {"tokenizer.ggml.tokens": None}, {}, "are not lists of text"),
    "fewer types": ("gpt2_q8_0", {"tokenizer.ggml.token_type": [1]}, {}, "not one integer for each of 400 tokens"),
    "a token twice": ("gpt2_q8_0", {"tokenizer.ggml.tokens": ["a"] * 400}, {}, "is there twice"),
    "a merge of three": ("gpt2_q8_0", {"tokenizer.ggml.merges": ["a b c"]}, {}, "a merge is two tokens"),
    "a merge of no token": ("gpt2_q8_0", {"tokenizer.ggml.merges": ["a 猫"]}, {}, "the vocabulary has no token"),
    "a bos that is none": ("llama_q4_0", {"tokenizer.ggml.bos_token_id": 10**6}, {}, "bos_token_id is 1000000"),
    "more tokens than rows": (
        "gpt2_q8_0", {}, {"token_embd.weight": np.ones((5, 32), np.float32)}, "has 400 tokens, the model 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name, values, tensors, said", MISFITS.values(), ids=MISFITS)
def test_a_file_that_contradicts_itself_is_refused(
    name: str, values: dict[str, Any], tensors: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = changed(tmp_path, name, values, tensors)
    with pytest.raises(FileFormatError, match=r"changed\.gguf") as caught:
        load_gguf(path)
    assert said in str(caught.value)


def test_a_changed_file_that_is_right_is_read(tmp_path: Path) -> None:
    model, _ = load_gguf(changed(tmp_path, "llama_f16", {}, {}))
    assert np.array_equal(model(TOKENS).data, load_gguf(GOLDEN / "llama_f16.gguf")[0](TOKENS).data)


def test_dtypes(tmp_path: Path) -> None:
    model, _ = load_gguf(GOLDEN / "llama_q4_0.gguf", "float16")
    assert {each.dtype for each in model.parameters()} == {np.dtype("float16")}
    with pytest.raises(TypeError):
        load_gguf(GOLDEN / "llama_q4_0.gguf", "int64")


def config(**changes: Any) -> GPT:
    return GPT.from_config(TransformerConfig(**SIZES | changes))


def parted(name: str, change: Callable[[Module], Any]) -> GPT | BERT:
    model = model_of(name)
    change(model)
    return model


def half(model: Module) -> None:
    model.set_submodule("blocks.0.attention.q_proj", QuantizedLinear(64, 64, group_size=32))


SAVES: dict[str, tuple[Callable[[], Any], dict[str, Any], type[Exception], str]] = {
    "no model": (lambda: Linear(2, 2), {}, TypeError, "got a Linear; GGUF files hold a GPT or a BERT"),
    "unknown type": (lambda: config(), {"type": "Q4_K"}, ValueError, "type is 'Q4_K'; known are F32, F16"),
    "other options": (
        lambda: config(positions="sinusoidal", activation="relu"), {}, ValueError,
        "no place for activation 'relu', positions 'sinusoidal'",
    ),
    "heads of BERT": (lambda: BERT(CONFIGS["bert"], pooler=True), {}, ValueError, "no place for pooler.weight"),
    "zero points": (
        lambda: parted("llama", lambda model: quantize(model, 8, 32, symmetric=False)), {}, ValueError, "zero points",
    ),
    "integer activations": (
        lambda: parted("llama", lambda model: quantize(model, 8, 32, activations="dynamic")), {}, ValueError,
        "dynamic activations of 8 bits",
    ),
    "groups of 16": (lambda: parted("llama", lambda model: quantize(model, 8, 16)), {}, ValueError, "groups of 16"),
    "one part of three": (lambda: parted("gpt2", half), {"type": "F32"}, ValueError, "quantize all of them or none"),
    "another size": (
        lambda: parted("llama", lambda model: model.set_submodule("blocks.1.feed_forward.up", Linear(64, 32, False))),
        {}, ValueError, "blocks.1.feed_forward.up.weight is (32, 64) and the configuration says",
    ),
    "a layer of another kind": (
        lambda: parted("llama", lambda model: model.set_submodule("blocks.1.norm1", Sublayer())), {}, ValueError,
        "blocks.1.norm1 is a Sublayer",
    ),
    "not finite": (
        lambda: parted("llama", lambda model: model.get_parameter("head.weight").data.fill(np.inf)), {},
        ValueError, "head.weight: Q8_0 cannot hold these numbers",
    ),
    "characters": (lambda: config(), {"tokenizer": CharTokenizer("abc")}, TypeError, "hold a BPETokenizer"),
    "another model's tokenizer": (
        lambda: config(vocab_size=200), {"tokenizer": tokenizer_of(GPT2_PATTERN)}, ValueError, "the model 200",
    ),
    "another pattern": (
        lambda: config(), {"tokenizer": tokenizer_of(r"\p{L}+|\s+")}, ValueError, "no name for this pre-tokenizer",
    ),
    "metadata twice": (lambda: config(), {"metadata": {"gpt2.block_count": 9}}, ValueError, "sets gpt2.block_count"),
}  # fmt: skip


class Sublayer(Module):
    """A layer that no file knows."""


@pytest.mark.parametrize("make, how, error, said", SAVES.values(), ids=SAVES)
def test_what_cannot_be_saved_leaves_the_file_as_it_was(
    make: Callable[[], Any], how: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.gguf"
    path.write_text("before")
    with pytest.raises(error) as caught:
        save_gguf(make(), path, **how)
    assert said in str(caught.value)
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]


def test_normalizer_is_refused(tmp_path: Path) -> None:
    document = tokenizer_of(GPT2_PATTERN).document | {"normalizer": {"type": "NFC"}}
    with pytest.raises(ValueError, match="no place for this tokenizer's normalizer"):
        save_gguf(GPT(**SIZES), tmp_path / "x.gguf", BPETokenizer(document))
