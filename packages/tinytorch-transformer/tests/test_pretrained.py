"""Checkpoints in Hugging Face's layout compute here what they compute in transformers."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.layers import load_tensors, save_tensors
from tinytorch.tensor import FileFormatError
from tinytorch.transformer import BERT, GPT, load_pretrained
from tinytorch.transformer.pretrained import bert as encoder
from tinytorch.transformer.pretrained import gpt2
from tinytorch.transformer.pretrained import llama as modern
from tinytorch.transformer.pretrained.checkpoint import Checkpoint

GOLDEN = Path(__file__).parent / "golden"
# transformers computes RMS norms and rotary angles in float32 whatever the dtype of the model
DECODERS = {"gpt2": 1e-12, "gpt2_untied": 1e-12, "llama_sharded": 2e-6, "llama3_bfloat16": 2e-6}


@pytest.mark.parametrize("name", DECODERS)
def test_logits_equal_transformers(name: str) -> None:
    model, expected = load_pretrained(GOLDEN / name, "float64"), np.load(GOLDEN / name / "expected.npz")
    assert isinstance(model, GPT) and not model.training
    ids, mask = expected["tokens"], expected["mask"]
    np.testing.assert_allclose(model(ids).data, expected["logits"], atol=DECODERS[name])
    np.testing.assert_allclose(model(ids, mask).data[1:, mask[1] == 1], expected["short"], atol=DECODERS[name])


@pytest.mark.parametrize("name", DECODERS)
def test_greedy_tokens_equal_transformers(name: str) -> None:
    expected = np.load(GOLDEN / name / "expected.npz")
    model = load_pretrained(GOLDEN / name)
    assert model.token_embedding.weight.dtype == np.float32
    assert isinstance(model, GPT)
    greedy = model.generate(expected["tokens"], 12, temperature=0, stop=[])
    assert np.array_equal(greedy.data, expected["greedy"])


def test_bert_equals_transformers() -> None:
    model, expected = load_pretrained(GOLDEN / "bert", "float64"), np.load(GOLDEN / "bert" / "expected.npz")
    assert isinstance(model, BERT)
    hidden = model(expected["tokens"], expected["mask"], expected["segments"])
    np.testing.assert_allclose(hidden.data, expected["hidden"], atol=1e-12)
    np.testing.assert_allclose(model.pooled(hidden).data, expected["pooled"], atol=1e-12)
    np.testing.assert_allclose(model.token_logits(hidden).data, expected["token_logits"], atol=1e-12)
    np.testing.assert_allclose(model.next_sentence_logits(hidden).data, expected["next_sentence"], atol=1e-12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "gpt2", tmp_path / "model"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    arrays = load_tensors(folder / "model.safetensors")
    change(arrays)
    save_tensors(arrays, folder / "model.safetensors")


def configure(folder: Path, **options: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


def llama(tmp_path: Path, name: str = "llama3_bfloat16") -> Path:
    return Path(shutil.copytree(GOLDEN / name, tmp_path / "llama"))


def bert(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "bert", tmp_path / "bert"))


def test_names_of_the_bare_model_and_buffers_are_understood(folder: Path) -> None:
    def bare(arrays: dict[str, Any]) -> None:
        for name in list(arrays):
            arrays[name.removeprefix("transformer.")] = arrays.pop(name)
        arrays["h.0.attn.bias"] = np.tri(4, dtype=np.float32)

    before = load_pretrained(folder)([[1, 2]]).data
    rewrite(folder, bare)
    assert np.array_equal(load_pretrained(folder)([[1, 2]]).data, before)


def test_a_bert_without_heads_has_none(tmp_path: Path) -> None:
    folder = bert(tmp_path)

    def headless(arrays: dict[str, Any]) -> None:
        for name in list(arrays):
            value = arrays.pop(name)
            if name.startswith("bert.") and "pooler" not in name:
                arrays[name.removeprefix("bert.").replace("LayerNorm.weight", "LayerNorm.gamma")] = value

    rewrite(folder, headless)
    model = load_pretrained(folder)
    assert isinstance(model, BERT) and model.pooler is None and model.masked_lm is None
    assert model([[1, 2]]).shape == (1, 2, 16)


def test_rope_settings_of_earlier_versions_are_understood(tmp_path: Path) -> None:
    folder = llama(tmp_path)
    before = load_pretrained(folder)([[1, 2, 3]]).data
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    (folder / "config.json").write_text(json.dumps({**config, "rope_scaling": rope}))
    assert np.array_equal(load_pretrained(folder)([[1, 2, 3]]).data, before)


FINAL = "transformer.ln_f.bias"


def another_head(arrays: dict[str, Any]) -> None:
    arrays["lm_head.weight"] = arrays["transformer.wte.weight"] * 2


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def escaping(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"wte.weight": "../../secret.safetensors"}}')


def lost_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"wte.weight": "model-1.safetensors"}}')


WRONG: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "no folder": (shutil.rmtree, FileNotFoundError, "is not a folder"),
    "no config": (without_config, FileNotFoundError, "config.json"),
    "config that is not JSON": (lambda f: (f / "config.json").write_text("{"), FileFormatError, "is not JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), FileFormatError, "must be an object"),
    "pickled weights": (pickled, FileNotFoundError, "neither model.safetensors nor"),
    "truncated": (truncated, FileFormatError, "truncated"),
    "shard elsewhere": (escaping, FileFormatError, "in the same folder"),
    "lost shard": (lost_shard, FileNotFoundError, "model-1.safetensors"),
    "other family": (lambda f: configure(f, model_type="mamba"), FileFormatError, "'mamba'"),
    "no family": (lambda f: configure(f, model_type=None), FileFormatError, "known are gpt2, llama, bert"),
    "other activation": (lambda f: configure(f, activation_function="swish2"), FileFormatError, "'swish2'"),
    "other scaling": (
        lambda f: configure(f, scale_attn_by_inverse_layer_idx=True),
        FileFormatError,
        "only False is known",
    ),
    "fewer layers": (lambda f: configure(f, n_layer=3), FileFormatError, "4 blocks where it says 3"),
    "a billion layers": (lambda f: configure(f, n_layer=10**9), FileFormatError, "4 blocks where it says 1000000000"),
    "other sizes": (
        lambda f: configure(f, vocab_size=30),
        FileFormatError,
        "wrong shape: transformer.wte.weight (29, ",
    ),
    "foreign weight": (lambda f: rewrite(f, lambda a: a.update(x=np.ones(2))), FileFormatError, "unexpected: x"),
    "lost weight": (lambda f: rewrite(f, lambda a: a.pop(FINAL)), FileFormatError, "missing: ln_f.bias"),
    "twice": (lambda f: rewrite(f, lambda a: a.update({"ln_f.bias": a[FINAL]})), FileFormatError, "twice: "),
    "another head": (
        lambda f: rewrite(f, another_head),
        FileFormatError,
        "lm_head.weight is not a copy of wte.weight",
    ),
    "integers": (lambda f: rewrite(f, lambda a: a.update({FINAL: a[FINAL].astype(int)})), FileFormatError, "is int64"),
    "no causal mask": (
        lambda f: rewrite(f, lambda a: a.update({"h.0.attn.bias": np.ones((1, 1, 4, 4), np.float32)})),
        FileFormatError,
        "h.0.attn.bias is not what the model",
    ),
    "words as sizes": (lambda f: configure(f, n_embd="16"), FileFormatError, "embed_dim is '16'; it must be an int"),
    "words for tied": (lambda f: configure(f, tie_word_embeddings="no"), FileFormatError, "it must be True or False"),
    "no option": (lambda f: configure(f, layer_norm_epsilon=None), FileFormatError, "eps is None"),
    "heads that do not fit": (lambda f: configure(f, n_head=3), FileFormatError, "not a multiple of num_heads 3"),
    "an end that is text": (lambda f: configure(f, eos_token_id="</s>"), FileFormatError, "eos_token_id is '</s>'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(folder: Path, case: str) -> None:
    change, error, words = WRONG[case]
    change(folder)
    with pytest.raises(error) as caught:
        load_pretrained(folder)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(("count", "end"), [(5, ""), (6, ""), (7, " and 1 more"), (9, " and 3 more")])
def test_six_names_are_listed_and_the_rest_counted(folder: Path, count: int, end: str) -> None:
    names = [f"x{place}" for place in range(count)]
    rewrite(folder, lambda arrays: arrays.update({name: np.ones(2) for name in names}))
    with pytest.raises(FileFormatError) as caught:
        load_pretrained(folder)
    assert str(caught.value).endswith(f"unexpected: {', '.join(names[:6])}{end}")


def test_a_dtype_that_weights_cannot_have_is_not_the_files_fault(folder: Path) -> None:
    with pytest.raises(TypeError, match="int64"):
        load_pretrained(folder, "int64")


COPIES = {
    "gpt2": ("lm_head.weight", "transformer.wte.weight"),
    "llama3_bfloat16": ("lm_head.weight", "model.embed_tokens.weight"),
    "bert": ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    "bert bias": ("cls.predictions.decoder.bias", "cls.predictions.bias"),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_compared_with_what_they_copy(tmp_path: Path, name: str) -> None:
    copy, original = COPIES[name]
    folder = Path(shutil.copytree(GOLDEN / name.split()[0], tmp_path / "model"))
    rewrite(folder, lambda arrays: arrays.update({copy: arrays[original]}))
    load_pretrained(folder)
    rewrite(folder, lambda arrays: arrays.update({copy: arrays[original] + 1e-3}))
    with pytest.raises(FileFormatError, match=f"{copy} is not a copy of "):
        load_pretrained(folder)
    rewrite(folder, lambda arrays: arrays.update({copy: arrays[original][:1]}))
    with pytest.raises(FileFormatError, match=f"wrong shape: {copy}"):
        load_pretrained(folder)


def test_one_name_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = llama(tmp_path, "llama_sharded")
    first, second = sorted(folder.glob("*.safetensors"))[:2]
    name, array = next(iter(load_tensors(first).items()))
    save_tensors({**load_tensors(second), name: array}, second)
    with pytest.raises(FileFormatError, match=f"twice: {name} and {name}"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "contradict"),
        ({"rope_theta": 10000.0}, "contradict"),
        ({"rope_scaling": {"factor": 8.0}}, "contradict"),
        ({"rope_parameters": None, "rope_scaling": {"rope_type": "linear", "factor": 0}}, "sets factor to 0; "),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "sets factor to None; "),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 4.0}, "rope_theta": 10000.0}, "contradict"),
        ({"rope_parameters": {"rope_type": "yarn", "beta_fast": 32}}, "with beta_fast; known are rope_type"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "scaling 'dynamic'; known are"),
        ({"rope_parameters": "llama3"}, "'str' object is not a mapping"),
        ({"rope_parameters": {"rope_theta": "many"}}, "not supported between"),
        ({"partial_rotary_factor": 0.5}, "only 1.0 is known"),
    ],
)
def test_rope_settings_that_contradict_or_mean_nothing_are_refused(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    folder = llama(tmp_path)
    configure(folder, **options)
    with pytest.raises(FileFormatError) as caught:
        load_pretrained(folder)
    assert words in str(caught.value)


def test_rope_settings_that_agree_are_taken(tmp_path: Path) -> None:
    folder = llama(tmp_path)
    before = load_pretrained(folder)([[1, 2, 3]]).data
    configure(folder, rope_theta=500.0, rope_scaling={"type": "llama3", "factor": 4.0})
    assert np.array_equal(load_pretrained(folder)([[1, 2, 3]]).data, before)


def test_saved_frequencies_must_be_those_of_the_configuration(tmp_path: Path) -> None:
    folder, name = llama(tmp_path), "model.layers.0.self_attn.rotary_emb.inv_freq"
    frequencies = (500.0 ** (-np.arange(3) / 3)).astype(np.float32)
    rewrite(folder, lambda arrays: arrays.update({name: frequencies}))
    load_pretrained(folder)
    rewrite(folder, lambda arrays: arrays.update({name: frequencies * 1.1}))
    with pytest.raises(FileFormatError, match="inv_freq is not what the model computes"):
        load_pretrained(folder)


@pytest.mark.parametrize("name", ["gpt2", "llama_sharded", "bert"])
def test_what_the_configuration_leaves_out_is_as_in_transformers(tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(GOLDEN / name, tmp_path / "model"))
    (folder / "config.json").write_text(json.dumps({"model_type": name.split("_")[0]}))
    blocks, usual = {"gpt2": (4, 12), "llama_sharded": (3, 32), "bert": (2, 12)}[name]
    with pytest.raises(FileFormatError, match=f"{blocks} blocks where it says {usual}"):
        load_pretrained(folder)
    configure(folder, **{"n_layer" if name == "gpt2" else "num_hidden_layers": blocks, "vocab_size": 29})
    with pytest.raises(FileFormatError, match="wrong shape: "):
        load_pretrained(folder)


DEFAULTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "gpt2": (gpt2, {
        "vocab_size": 50257, "embed_dim": 768, "num_layers": 12, "num_heads": 12, "max_seq_len": 1024,
        "hidden_dim": None, "activation": "gelu", "norm_eps": 1e-5, "dropout": 0.1, "tied": True,
        "stop_tokens": (50256,),
    }),
    "llama": (modern, {
        "vocab_size": 32000, "embed_dim": 4096, "num_layers": 32, "num_heads": 32, "max_seq_len": 2048,
        "hidden_dim": 11008, "num_kv_heads": None, "head_dim": None, "norm_eps": 1e-6, "rotary_base": 10000.0,
        "rotary_scaling": None, "bias": False, "attention_bias": False, "tied": False, "stop_tokens": (2,),
    }),
    "bert": (encoder, {
        "vocab_size": 30522, "embed_dim": 768, "num_layers": 12, "num_heads": 12, "max_seq_len": 512,
        "hidden_dim": 3072, "num_segments": 2, "activation": "gelu_exact", "norm_eps": 1e-12, "dropout": 0.1,
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    family, expected = DEFAULTS[name]
    config = family.describe(Checkpoint(tmp_path)).config
    assert {field: getattr(config, field) for field in expected} == expected


def stops(folder: Path) -> tuple[int, ...]:
    return load_pretrained(folder).config.stop_tokens


def test_texts_end_where_the_checkpoint_says(tmp_path: Path) -> None:
    folder = llama(tmp_path)
    assert stops(folder) == (2,)
    configure(folder, eos_token_id=7)
    assert stops(folder) == (7,)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 5, 99]}))
    assert stops(folder) == (3, 5)
    (folder / "generation_config.json").write_text("{}")
    assert stops(folder) == ()


def test_a_model_stops_where_its_checkpoint_says_unless_it_is_told_where(folder: Path) -> None:
    prompt = [1, 2]
    whole = load_pretrained(folder).generate(prompt, 8, temperature=0).tolist()
    end = whole[5]
    configure(folder, eos_token_id=end)
    model = load_pretrained(folder)
    assert isinstance(model, GPT)
    until = whole[: whole.index(end, 2) + 1]
    assert model.generate(prompt, 8, temperature=0).tolist() == until
    assert list(model.stream(prompt, 8, temperature=0)) == until[2:]
    assert model.generate(prompt, 8, temperature=0, stop=[]).tolist() == whole
    assert list(model.stream(prompt, 8, temperature=0, stop=())) == whole[2:]


def test_loading_takes_little_more_memory_than_the_weights(tmp_path: Path) -> None:
    sizes = {"vocab_size": 4000, "n_embd": 128, "n_layer": 6, "n_head": 4, "n_positions": 64}
    D, weights = 128, {"wte.weight": (4000, 128), "wpe.weight": (64, 128), "ln_f.weight": (128,), "ln_f.bias": (128,)}
    for i in range(6):
        weights |= {f"h.{i}.{norm}.{leaf}": (D,) for norm in ("ln_1", "ln_2") for leaf in ("weight", "bias")}
        for name, wide, out in (
            ("attn.c_attn", D, 3),
            ("attn.c_proj", D, 1),
            ("mlp.c_fc", D, 4),
            ("mlp.c_proj", 4 * D, 1),
        ):
            weights |= {f"h.{i}.{name}.weight": (wide, out * D), f"h.{i}.{name}.bias": (out * D,)}
    save_tensors({name: np.ones(shape, np.float32) for name, shape in weights.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", **sizes}))
    load_pretrained(GOLDEN / "gpt2")  # what is imported and kept once does not count
    tracemalloc.start()
    try:
        model = load_pretrained(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.2 * sum(parameter.data.nbytes for parameter in model.parameters())
