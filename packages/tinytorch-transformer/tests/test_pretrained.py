"""Checkpoints in Hugging Face's layout compute here what they compute in transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.layers import load_tensors, save_tensors
from tinytorch.transformer import BERT, GPT, load_pretrained

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
    assert np.array_equal(model.generate(expected["tokens"], 12, temperature=0).data, expected["greedy"])


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


def test_names_of_the_bare_model_and_buffers_are_understood(folder: Path) -> None:
    def bare(arrays: dict[str, Any]) -> None:
        for name in list(arrays):
            arrays[name.removeprefix("transformer.")] = arrays.pop(name)
        arrays["h.0.attn.bias"] = np.tri(4, dtype=np.float32)

    before = load_pretrained(folder)([[1, 2]]).data
    rewrite(folder, bare)
    assert np.array_equal(load_pretrained(folder)([[1, 2]]).data, before)


def test_a_bert_without_heads_has_none(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "bert", tmp_path / "bert"))

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
    folder = Path(shutil.copytree(GOLDEN / "llama3_bfloat16", tmp_path / "llama"))
    before = load_pretrained(folder)([[1, 2, 3]]).data
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    (folder / "config.json").write_text(json.dumps({**config, "rope_scaling": rope}))
    assert np.array_equal(load_pretrained(folder)([[1, 2, 3]]).data, before)


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
    "no folder": (shutil.rmtree, FileNotFoundError, "there is no folder"),
    "no config": (without_config, FileNotFoundError, "config.json"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), ValueError, "is no JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), ValueError, "must be an object"),
    "pickled weights": (pickled, FileNotFoundError, "neither model.safetensors nor"),
    "truncated": (truncated, ValueError, "truncated"),
    "shard elsewhere": (escaping, ValueError, "files lie beside it"),
    "lost shard": (lost_shard, FileNotFoundError, "model-1.safetensors"),
    "other family": (lambda f: configure(f, model_type="mamba"), ValueError, "'mamba'"),
    "no family": (lambda f: configure(f, model_type=None), ValueError, "known are gpt2, llama, bert"),
    "other activation": (lambda f: configure(f, activation_function="swish2"), ValueError, "'swish2'"),
    "other scaling": (lambda f: configure(f, scale_attn_by_inverse_layer_idx=True), ValueError, "only False is known"),
    "fewer layers": (lambda f: configure(f, n_layer=3), ValueError, "unexpected: transformer.h.3."),
    "more layers": (lambda f: configure(f, n_layer=5), ValueError, "missing: h.4."),
    "other sizes": (lambda f: configure(f, vocab_size=30), ValueError, "wrong shape: transformer.wte.weight (29, 16)"),
    "foreign weight": (lambda f: rewrite(f, lambda a: a.update(x=np.ones(2))), ValueError, "unexpected: x"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(folder: Path, case: str) -> None:
    change, error, words = WRONG[case]
    change(folder)
    with pytest.raises(error) as caught:
        load_pretrained(folder)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_missing_option_is_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["n_embd"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="does not say n_embd"):
        load_pretrained(folder)
