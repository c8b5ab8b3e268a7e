"""Tiny random checkpoints as transformers writes them, and what they compute.

Writes packages/tinytorch-transformer/tests/golden: each folder is a checkpoint with `expected.npz` beside it, and
`gpt2*/gradients` is a checkpoint of the same layout that holds the gradient of the loss in place of each weight.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.generation import logits_process

OUT = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-transformer" / "tests" / "golden"
TOKENS = np.random.default_rng(0).integers(0, 29, (2, 9))
MASK = np.array([[1] * 9, [0] * 4 + [1] * 5])

GREEDY: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}


def randomised(model: Any) -> Any:
    """Weights large enough that attention is not uniform, and no norm or bias at its neutral value."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.15)
    return model.eval()


def decoder(name: str, model: Any, **save: Any) -> None:
    """Logits of all tokens and of those that MASK leaves, in float64 from the stored weights, and greedy tokens."""
    folder = OUT / name
    randomised(model).save_pretrained(folder, **save)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = type(model).from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
    tokens = torch.tensor(TOKENS)
    with torch.no_grad():
        logits = model(tokens).logits
        short = model(tokens[1:, MASK[1] == 1]).logits
        greedy = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=12, **GREEDY)
    np.savez_compressed(
        folder / "expected.npz",
        tokens=TOKENS,
        mask=MASK,
        logits=logits.numpy(),
        short=short.numpy(),
        greedy=greedy.numpy(),
    )


def gradients(name: str) -> None:
    model = GPT2LMHeadModel.from_pretrained(OUT / name, attn_implementation="eager").double().eval()
    tokens = torch.tensor(TOKENS)
    logits = model(tokens[:, :-1]).logits
    loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1))
    loss.backward()
    folder = OUT / name / "gradients"
    folder.mkdir()
    shutil.copy(OUT / name / "config.json", folder)
    save_file({key: p.grad.contiguous() for key, p in model.named_parameters()}, folder / "model.safetensors")
    np.savez(folder / "loss.npz", loss=loss.detach().numpy())


def bert() -> None:
    sizes = {"vocab_size": 29, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(**sizes, intermediate_size=24, max_position_embeddings=12)
    model = randomised(BertForPreTraining(config))
    model.save_pretrained(OUT / "bert")
    model = model.double()
    segments = np.array([[0] * 4 + [1] * 5] * 2)
    mask = MASK[:, ::-1].copy()
    inputs = {"token_type_ids": torch.tensor(segments), "attention_mask": torch.tensor(mask)}
    with torch.no_grad():
        result = model(torch.tensor(TOKENS), **inputs, output_hidden_states=True)
        pooled = model.bert(torch.tensor(TOKENS), **inputs).pooler_output
    np.savez_compressed(
        OUT / "bert" / "expected.npz", tokens=TOKENS, mask=mask, segments=segments,
        hidden=result.hidden_states[-1].numpy(), pooled=pooled.numpy(),
        token_logits=result.prediction_logits.numpy(), next_sentence=result.seq_relationship_logits.numpy(),
    )  # fmt: skip


class Original(nn.Module):
    """The encoder-decoder of 2017 out of PyTorch's own layers."""

    def __init__(self, vocab: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        how: dict[str, Any] = {"dropout": 0.0, "batch_first": True}
        self.table = nn.Embedding(vocab, width)
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(width, heads, 4 * width, **how) for _ in range(layers))
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(width, heads, 4 * width, **how) for _ in range(layers))

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        T, D = ids.shape[1], self.table.embedding_dim
        angles = torch.arange(T)[:, None] / 10000 ** (torch.arange(0, D, 2) / D)
        sines = torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(T, D)
        return self.table(ids) * math.sqrt(D) + sines

    def forward(self, source: torch.Tensor, target: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        x, y = self.embed(source), self.embed(target)
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=padding)
        later = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        for layer in self.decoder:
            y = layer(y, x, tgt_mask=later, memory_key_padding_mask=padding)
        return y @ self.table.weight.T


def original() -> None:
    torch.set_default_dtype(torch.float64)
    model = randomised(Original(vocab=23, width=8, heads=2, layers=2)).train()  # eval() takes another path
    source = np.random.default_rng(3).integers(0, 23, (2, 6))
    target = np.random.default_rng(4).integers(0, 23, (2, 5))
    mask = np.array([[1] * 6, [1, 1, 1, 1, 0, 0]])
    logits = model(*map(torch.tensor, (source, target, mask == 0)))
    weights = {f"weights.{name}": p.detach().numpy() for name, p in model.named_parameters()}
    np.savez_compressed(
        OUT / "original.npz", source=source, target=target, mask=mask, logits=logits.detach().numpy(), **weights
    )
    torch.set_default_dtype(torch.float32)


def processors() -> None:
    rng = np.random.default_rng(5)
    ids, logits = rng.integers(0, 40, (3, 7)), rng.normal(size=(3, 40)) * 3
    makers = {
        "temperature": logits_process.TemperatureLogitsWarper(0.7),
        "top_k": logits_process.TopKLogitsWarper(5),
        "top_p": logits_process.TopPLogitsWarper(0.8),
        "min_p": logits_process.MinPLogitsWarper(0.1),
        "repetition_penalty": logits_process.RepetitionPenaltyLogitsProcessor(1.3),
    }
    results = {name: make(torch.tensor(ids), torch.tensor(logits)).numpy() for name, make in makers.items()}
    np.savez_compressed(OUT / "processors.npz", ids=ids, logits=logits, **results)


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    torch.manual_seed(0)
    gpt2 = {"vocab_size": 29, "n_embd": 16, "n_layer": 4, "n_head": 4, "n_positions": 24}
    decoder("gpt2", GPT2LMHeadModel(GPT2Config(**gpt2)))
    decoder("gpt2_untied", GPT2LMHeadModel(GPT2Config(**gpt2, tie_word_embeddings=False)))
    gradients("gpt2")
    gradients("gpt2_untied")
    llama = {
        "vocab_size": 29, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 64,
    }  # fmt: skip
    decoder("llama_sharded", LlamaForCausalLM(LlamaConfig(**llama)), max_shard_size="12KB")
    scaling = {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }  # fmt: skip
    options = {"rope_parameters": scaling, "head_dim": 6, "attention_bias": True, "tie_word_embeddings": True}
    decoder("llama3_bfloat16", LlamaForCausalLM(LlamaConfig(**llama, **options)).to(torch.bfloat16))
    bert()
    original()
    processors()


if __name__ == "__main__":
    main()
