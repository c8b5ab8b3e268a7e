"""GGUF files that are written here are read by the gguf library and by transformers, as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tinytorch.quantization import load_gguf, read_gguf, save_gguf
from tinytorch.quantization.gguf.blocks import FORMATS, decode, encode
from tinytorch.tokenizers import BPETokenizer
from tinytorch.transformer import GPT, TransformerConfig

pytestmark = pytest.mark.peers

SIZES: dict[str, Any] = {"vocab_size": 300, "embed_dim": 64, "num_layers": 2, "num_heads": 4, "max_seq_len": 32}
CONFIGS = {
    "gpt2": TransformerConfig.gpt2(**SIZES | {"max_seq_len": 1024}, stop_tokens=(1,)),  # transformers takes 1024
    "llama": TransformerConfig.llama(**SIZES, hidden_dim=96, num_kv_heads=2, tied=False, stop_tokens=(1,)),
}
TOKENS = np.random.default_rng(0).integers(0, 300, (2, 9))


def saved(name: str, kind: str, folder: Path) -> tuple[GPT, BPETokenizer]:
    rng = np.random.default_rng(1)
    model = GPT.from_config(CONFIGS[name], generator=rng).eval()
    for parameter in model.parameters():
        parameter.data += rng.normal(0, 0.1, parameter.shape).astype(np.float32)
    tokenizer = BPETokenizer.train(["low lower lowest"], 280, ["<bos>", "<eos>"])
    save_gguf(model, folder / "x.gguf", tokenizer, kind, {"general.name": "Ada"})
    return model, tokenizer


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0"])
def test_the_library_reads_what_is_written_here(name: str, kind: str, tmp_path: Path) -> None:
    _, tokenizer = saved(name, kind, tmp_path)
    theirs = gguf.GGUFReader(tmp_path / "x.gguf")
    with read_gguf(tmp_path / "x.gguf") as ours:
        said = {key: field.contents() for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
        assert said.keys() == ours.metadata.keys()
        for key, value in ours.metadata.items():
            assert np.array_equal(said[key], value), key
        assert [tensor.name for tensor in theirs.tensors] == [*ours]
        for tensor in theirs.tensors:
            assert tensor.tensor_type.name == ours.types[tensor.name]
            assert tuple(tensor.shape[::-1]) == ours.shapes[tensor.name]
            numbers = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(ours.shapes[tensor.name])
            assert np.array_equal(numbers, ours[tensor.name])
    assert said["tokenizer.ggml.tokens"][: tokenizer.vocab_size] == sorted(tokenizer.vocab, key=tokenizer.vocab.get)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_0"])
def test_transformers_computes_the_same(name: str, kind: str, tmp_path: Path) -> None:
    saved(name, kind, tmp_path)
    ours, _ = load_gguf(tmp_path / "x.gguf")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf", dtype=torch.float32)
    with torch.no_grad():
        logits = theirs(torch.from_numpy(TOKENS)).logits.numpy()
    np.testing.assert_allclose(ours(TOKENS).data, logits, atol=2e-5)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_blocks_are_rounded_as_the_library_rounds_them(kind: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((64, 512)) * rng.uniform(0, 3, (64, 1))).astype(np.float32)
    x[3], x[4, :32], x[5] = 0, 0.5, np.float32(1e-30)
    theirs = gguf.quantize(x, gguf.GGMLQuantizationType[kind])
    assert encode(kind, x).tobytes() == theirs.tobytes()


@pytest.mark.parametrize("kind", [kind for kind, form in FORMATS.items() if form.decode and kind[0] in "QB"])
def test_any_bytes_stand_for_the_numbers_that_the_library_reads(kind: str) -> None:
    form = FORMATS[kind]
    raw = np.random.default_rng(0).integers(0, 256, (500, form.dtype.itemsize), np.uint8)
    with np.errstate(all="ignore"):
        theirs = gguf.dequantize(raw, gguf.GGMLQuantizationType[kind]).reshape(-1)
    assert np.array_equal(decode(kind, raw.reshape(-1).view(form.dtype)), theirs, equal_nan=True)
