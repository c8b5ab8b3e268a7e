"""A tiny Llama, adapters that the peft library saved for it, and what both compute together.

Writes packages/tinytorch-compression/tests/golden/peft: a checkpoint, `adapter` as peft writes it, and `expected.npz`;
then reads back, with peft, what `save_lora` writes, and compares. Needs torch, transformers and peft.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from tinytorch.compression import LLAMA_NAMES, add_lora, save_lora
from tinytorch.transformer import load_pretrained

OUT = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-compression" / "tests" / "golden" / "peft"
TOKENS = np.random.default_rng(0).integers(0, 29, (2, 9))
SIZES: dict[str, Any] = {
    "vocab_size": 29, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32, "tie_word_embeddings": False,
}  # fmt: skip


def draw(model: Any, name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if name in key:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


def base() -> Any:
    return LlamaForCausalLM.from_pretrained(OUT, dtype=torch.float64, attn_implementation="eager")


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model.double().eval()(torch.tensor(TOKENS)).logits.numpy()


def make() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    model = LlamaForCausalLM(LlamaConfig(**SIZES))
    draw(model, "weight")
    model.save_pretrained(OUT)
    (OUT / "generation_config.json").unlink(missing_ok=True)
    config = LoraConfig(
        r=2, lora_alpha=6, lora_dropout=0.1, target_modules=["q_proj", "v_proj", "down_proj"],
        rank_pattern={"down_proj": 3}, alpha_pattern={"v_proj": 5},
    )  # fmt: skip
    adapted = get_peft_model(base(), config)
    draw(adapted, "lora_")
    adapted.peft_config["default"].base_model_name_or_path = "tiny-llama"
    adapted.float().save_pretrained(OUT / "adapter")
    (OUT / "adapter" / "README.md").unlink(missing_ok=True)
    again = PeftModel.from_pretrained(base(), OUT / "adapter")
    np.savez_compressed(OUT / "expected.npz", tokens=TOKENS, base=logits(base()), adapted=logits(again))


def compare() -> None:
    """That peft reads what is written here."""
    model = load_pretrained(OUT, np.float64)
    for _, parameter in add_lora(model, 3, ["k_proj", "up"], alpha=5):
        parameter.data[...] = np.random.default_rng(2).normal(size=parameter.shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        save_lora(model, folder, LLAMA_NAMES)
        theirs = PeftModel.from_pretrained(base(), folder)
        np.testing.assert_allclose(logits(theirs), model(TOKENS).data, atol=1e-6)  # transformers norms in float32


if __name__ == "__main__":
    make()
    compare()
