"""Make the golden files of GGUF with the `gguf` library, and what transformers computes from their numbers.

    pip install gguf==0.19.0 torch transformers
    python tests-integration/golden/make_gguf.py

Writes packages/tinytorch-quantization/tests/golden/gguf: files that hold models as llama.cpp's converter lays them out
(names from the library's own table, q and k of Llama permuted), a file with a tensor of each type, and the numbers,
logits, greedy tokens and ids that are to come out. The tests read them and need no more than the package.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from tokenizers import Tokenizer
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

PACKAGES = Path(__file__).resolve().parents[2] / "packages"
OUT = PACKAGES / "tinytorch-quantization" / "tests" / "golden" / "gguf"
WORDS = PACKAGES / "tinytorch-tokenizers" / "tests" / "golden"
TEXTS = [
    "", "The cat sat on the mat.", "It's they're I'LL we've", "12345 1e-5 two  spaces \n\n", "naïve Straße 猫が 👋🏽",
    "<bos>lower<eos>",
]  # fmt: skip
DECODED = ["F32", "F16", "BF16", "F64", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]


def randomized(model: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.25 + (parameter.ndim == 1) * 0.7)
    return model.eval()


def interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """Row 2 j + s of a head is what was row s n/2 + j: ggml rotates neighbors, transformers the halves of a head."""
    n = len(rows) // heads
    order = [h * n + s * n // 2 + j for h in range(heads) for j in range(n // 2) for s in (0, 1)]
    return rows[order]


def write_model(name: str, arch: gguf.MODEL_ARCH, model: Any, kind: str, words: str | None, **said: Any) -> None:
    """A file with the weights of `model` in `kind`; afterwards the model has the numbers that were stored."""
    config = model.config
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", gguf.MODEL_ARCH_NAMES[arch])
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    for method, value in said.items():
        getattr(writer, method)(value)
    if words is None:
        writer.add_tokenizer_model("no_vocab")
    else:
        add_words(writer, words)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for theirs, parameter in model.named_parameters():
        array = parameter.detach().numpy()
        fused = arch == gguf.MODEL_ARCH.GPT2 and theirs.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        array = array.T if fused else array
        heads = {"q_proj": config.num_attention_heads, "k_proj": getattr(config, "num_key_value_heads", 0)}
        turn = heads.get(theirs.split(".")[-2], 0) if arch == gguf.MODEL_ARCH.LLAMA else 0
        array = interleaved(array, turn) if turn else array
        ours = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        full = array.ndim == 1 or "position_embd" in ours or "token_types" in ours
        stored = gguf.quantize(np.ascontiguousarray(array), Type["F32" if full else kind])
        writer.add_tensor(ours, stored, raw_dtype=Type["F32" if full else kind])
        numbers = gguf.dequantize(stored, Type["F32" if full else kind]).reshape(array.shape)
        if turn:
            numbers = numbers[np.argsort(interleaved(np.arange(len(numbers)), turn))]
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(numbers.T if fused else numbers)))
    if arch == gguf.MODEL_ARCH.LLAMA and (config.rope_parameters or {}).get("rope_type") == "llama3":
        frequencies = config.rope_parameters["rope_theta"] ** (-np.arange(0, 8, 2) / 8)
        factors = frequencies / model.model.rotary_emb.inv_freq.double().numpy()
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_words(writer: gguf.GGUFWriter, words: str) -> None:
    document = json.loads((WORDS / f"{words}.tokenizer.json").read_text())
    added = {token["content"]: token["id"] for token in document["added_tokens"]}
    special = {token["content"] for token in document["added_tokens"] if token["special"]}
    tokens = sorted((document["model"]["vocab"] | added).items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre({"gpt2": "gpt-2", "llama3": "llama-bpe"}[words])
    writer.add_token_list([token for token, _ in tokens])
    kinds = {each: gguf.TokenType.CONTROL if each in special else gguf.TokenType.USER_DEFINED for each in added}
    writer.add_token_types([kinds.get(each, gguf.TokenType.NORMAL) for each, _ in tokens])
    writer.add_token_merges([" ".join(merge) for merge in document["model"]["merges"]])
    writer.add_bos_token_id(added["<bos>"])
    writer.add_eos_token_id(added["<eos>"])
    writer.add_add_bos_token(words == "llama3")
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    ids = [Tokenizer.from_file(str(WORDS / f"{words}.tokenizer.json")).encode(text).ids for text in TEXTS]
    (OUT / f"{words}.ids.json").write_text(json.dumps([TEXTS, ids], ensure_ascii=False) + "\n")


def expected(name: str, model: Any, vocab_size: int) -> None:
    """What transformers computes in float64 from the stored numbers."""
    model = model.double()
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, vocab_size, (2, 9)))
    with torch.no_grad():
        if isinstance(model, BertModel):
            np.savez_compressed(OUT / f"{name}.npz", tokens=tokens, hidden=model(tokens).last_hidden_state)
            return
        how: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "max_new_tokens": 8}
        greedy = model.generate(tokens, attention_mask=torch.ones_like(tokens), **how)
        np.savez_compressed(OUT / f"{name}.npz", tokens=tokens, logits=model(tokens).logits, greedy=greedy)


def gpt2() -> None:
    size = len(json.loads((WORDS / "gpt2.tokenizer.json").read_text())["model"]["vocab"])
    sizes = {"vocab_size": size, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24}
    model = randomized(GPT2LMHeadModel(GPT2Config(**sizes, attn_implementation="eager")), 1)
    said = {"add_feed_forward_length": 128, "add_layer_norm_eps": 1e-5}
    write_model("gpt2_q8_0", gguf.MODEL_ARCH.GPT2, model, "Q8_0", "gpt2", **said)
    expected("gpt2_q8_0", model, size)


def llama(name: str, kind: str, words: str | None, tied: bool, rope: dict[str, Any], seed: int) -> None:
    size = 64
    if words:
        document = json.loads((WORDS / f"{words}.tokenizer.json").read_text())
        size = len(document["model"]["vocab"] | {token["content"]: 0 for token in document["added_tokens"]})
    config = LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=tied,
        rope_parameters=rope, attn_implementation="eager",
    )  # fmt: skip
    model = randomized(LlamaForCausalLM(config), seed)
    said = {
        "add_feed_forward_length": 64, "add_head_count_kv": 2, "add_layer_norm_rms_eps": 1e-5, "add_vocab_size": size,
        "add_rope_dimension_count": 8, "add_rope_freq_base": rope["rope_theta"],
    }  # fmt: skip
    if rope["rope_type"] == "linear":
        said |= {"add_rope_scaling_type": gguf.RopeScalingType.LINEAR, "add_rope_scaling_factor": rope["factor"]}
    write_model(name, gguf.MODEL_ARCH.LLAMA, model, kind, words, **said)
    expected(name, model, size)


def bert() -> None:
    sizes = {"vocab_size": 48, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(**sizes, intermediate_size=64, max_position_embeddings=16, attn_implementation="eager")
    model = randomized(BertModel(config, add_pooling_layer=False), 5)
    said = {"add_feed_forward_length": 64, "add_layer_norm_eps": 1e-12, "add_causal_attention": False}
    write_model("bert_f16", gguf.MODEL_ARCH.BERT, model, "F16", None, **said)
    expected("bert_f16", model, 48)


def types() -> None:
    """A tensor of each type that is read, and metadata of each type that there is."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(OUT / "types.gguf", "types")
    numbers = {}
    for kind in DECODED:
        block, size = gguf.GGML_QUANT_SIZES[Type[kind]]
        raw = rng.integers(0, 256, (3, 512 // block * size), np.uint8)
        if block > 1:  # scales that are usual numbers
            start = {"Q6_K": 208}.get(kind, 0)
            scales = rng.uniform(0.01, 1, (3, 512 // block, 2)).astype(np.float16).view(np.uint8)
            wide = 4 if kind[-1] in "1K" and kind != "Q6_K" else 2
            raw.reshape(3, 512 // block, size)[..., start : start + wide] = scales[..., :wide]
        else:
            values = rng.standard_normal((3, 512)).astype({"F16": "f2", "F64": "f8"}.get(kind, "f4"))
            raw = values.view(np.uint16)[:, 1::2].copy().view(np.uint8) if kind == "BF16" else values.view(np.uint8)
        stored = raw.view({"F32": "f4", "F16": "f2", "F64": "f8"}.get(kind, "u1"))
        writer.add_tensor(kind, stored, raw_dtype=Type[kind])
        numbers[kind] = stored if kind in ("F16", "F64") else gguf.dequantize(stored, Type[kind])
    writer.add_tensor("I32", np.arange(-3, 3, dtype=np.int32))
    numbers["I32"] = np.arange(-3, 3, dtype=np.int32)
    for name, value in {"uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4 * 10**9,
                        "int32": -2 * 10**9, "uint64": 2**63, "int64": -(2**62), "float32": 0.5, "float64": 0.1,
                        "bool": True, "string": "Größe 猫"}.items():  # fmt: skip
        getattr(writer, f"add_{name}")(f"types.{name}", value)
    writer.add_array("types.words", ["", "ä", "longer words"])
    writer.add_array("types.numbers", [1, -2, 3])
    writer.add_array("types.reals", [0.5, -1.5])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    np.savez_compressed(OUT / "types.npz", **numbers)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    types()
    gpt2()
    plain = {"rope_type": "default", "rope_theta": 10000.0}
    llama3 = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }  # fmt: skip
    llama("llama_q4_0", "Q4_0", "llama3", False, llama3, 2)
    llama("llama_f16", "F16", None, True, {**plain, "rope_type": "linear", "factor": 2.0}, 3)
    llama("llama_bf16", "BF16", None, False, plain, 4)
    bert()


if __name__ == "__main__":
    main()
