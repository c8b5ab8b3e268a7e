"""Small models of every family, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import Module, init
from tinytorch.transformer import GPT, TransformerConfig

SIZES = {"vocab_size": 17, "embed_dim": 8, "num_layers": 2, "num_heads": 4, "max_seq_len": 32}

FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "untied": {"tied": False},
    "sinusoidal": {"positions": "sinusoidal"},
    "no positions": {"positions": "none"},
    "norm last": {"norm_first": False, "activation": "relu"},
    "llama": {"norm": "rms", "positions": "rotary", "activation": "swiglu", "bias": False, "num_kv_heads": 2},
    "wide heads": {"positions": "rotary", "head_dim": 6, "num_kv_heads": 1, "attention_bias": False},
}


def lively(model: Any, seed: int = 0) -> Any:
    """Weights large enough that attention is far from uniform, and no norm or bias at its neutral value."""
    generator = np.random.default_rng(seed)
    for parameter in model.parameters():
        init.normal(parameter, std=0.4, generator=generator)
    return model


def gpt(family: str = "gpt2", **options: Any) -> GPT:
    return lively(GPT(**{**SIZES, **FAMILIES[family], **options}, dtype="float64")).eval()


def config(kind: str, **options: Any) -> TransformerConfig:
    made: TransformerConfig = getattr(TransformerConfig, kind)(**{**SIZES, **options})
    return made


def tokens(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, SIZES["vocab_size"], shape)


def finite_differences(model: Module, loss: Any, samples: int = 3, eps: float = 1e-6) -> dict[str, float]:
    """For every parameter the largest distance of its gradient from central differences, at sampled elements."""
    generator = np.random.default_rng(0)
    model.zero_grad()
    loss().backward()
    worst = {}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        flat, gradient = parameter.data.reshape(-1), parameter.grad.data.reshape(-1)
        places = {int(np.abs(gradient).argmax()), *generator.integers(0, flat.size, samples).tolist()}
        distances = []
        for place in places:
            value, sides = flat[place], []
            for step in (eps, -eps):
                flat[place] = value + step
                sides.append(loss().item())
            flat[place] = value
            distances.append(abs((sides[0] - sides[1]) / (2 * eps) - gradient[place]))
        worst[name] = max(distances)
    return worst
