"""The stages together: a transformer learns, every parameter takes part, the cache changes nothing but speed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.kvcache import disable_kv_cache, enable_kv_cache
from tinytorch.layers import ModuleList
from tinytorch.layers import functional as F
from tinytorch.optim import AdamW
from tinytorch.tensor import Tensor, manual_seed
from tinytorch.transformer import GPT, TransformerBlock, TransformerConfig


def learn(model: GPT, tokens: Any, steps: int) -> list[float]:
    """Train on one batch of sequences and return the losses."""
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_transformer_of_one_layer_learns_and_every_parameter_takes_part() -> None:
    manual_seed(0)
    follows = np.random.default_rng(0).permutation(33)  # each token has one successor, so that everything can be learnt
    tokens = np.empty((16, 17), np.int64)
    tokens[:, 0] = np.arange(0, 32, 2)
    for place in range(16):
        tokens[:, place + 1] = follows[tokens[:, place]]
    model = GPT(vocab_size=33, embed_dim=32, num_layers=1, num_heads=4, max_seq_len=16)
    start = {name: parameter.data.copy() for name, parameter in model.named_parameters()}
    F.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("k_proj.bias"):  # softmax does not change when every score of a row does
            assert np.abs(parameter.grad.data).max() > 0, name
    losses = learn(model, tokens, 500)
    assert 3.2 < losses[0] < 3.8
    for name, parameter in model.named_parameters():
        assert not np.array_equal(parameter.data, start[name]), name
    assert losses[-1] <= 0.03


def test_a_residual_chain_of_100_blocks_has_the_gradients_of_finite_differences() -> None:
    manual_seed(2)
    config = TransformerConfig(vocab_size=1, embed_dim=4, num_layers=1, num_heads=2, max_seq_len=3, hidden_dim=8)
    blocks = ModuleList(TransformerBlock(config, causal=True, dtype="float64") for _ in range(100))
    x = Tensor(np.random.default_rng(0).standard_normal((1, 3, 4)), "float64", requires_grad=True)
    probed = [x, blocks[0].norm1.weight, blocks[50].attention.v_proj.weight, blocks[99].feed_forward.up.bias]

    def loss() -> Tensor:
        h = x
        for block in blocks:
            h = block(h)
        return (h * h).mean()

    loss().backward()
    for parameter in probed:
        place = np.unravel_index(np.abs(parameter.grad.data).argmax(), parameter.shape)
        sides = []
        for step in (1e-6, -2e-6):  # up, then down to the other side
            parameter.data[place] += step
            sides.append(loss().item())
        parameter.data[place] += 1e-6
        slope = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(parameter.grad.data[place], slope, rtol=1e-5)


SHAPES = {
    "tiny": {"vocab_size": 40, "embed_dim": 16, "num_layers": 1, "num_heads": 2, "max_seq_len": 48},
    "deep": {"vocab_size": 60, "embed_dim": 32, "num_layers": 4, "num_heads": 4, "max_seq_len": 64},
    "llama": {
        "vocab_size": 50, "embed_dim": 48, "num_layers": 2, "num_heads": 6, "max_seq_len": 64, "num_kv_heads": 2,
        "norm": "rms", "positions": "rotary", "activation": "swiglu", "bias": False,
    },
}  # fmt: skip
PROMPTS = [[1], [3, 1, 4, 1, 5, 9, 2, 6], list(range(24))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prompt", PROMPTS, ids=len)
def test_greedy_tokens_with_and_without_the_cache_are_the_same(shape: str, prompt: list[int]) -> None:
    manual_seed(1)
    model = GPT(**SHAPES[shape]).eval()
    for parameter in model.parameters():
        parameter.data *= 8  # far from uniform, so that choices are choices
    computed: list[int] = []
    model.register_forward_pre_hook(lambda module, args, kwargs: computed.append(np.shape(args[0])[1]))
    plain = model.generate([prompt], 20, temperature=0, repetition_penalty=1.5)
    assert computed == [len(prompt) + step for step in range(20)]
    computed.clear()
    enable_kv_cache(model)
    cached = model.generate([prompt], 20, temperature=0, repetition_penalty=1.5)
    assert sum(computed) == len(prompt) + 19  # the prompt once, then one token at a time
    disable_kv_cache(model)
    np.testing.assert_array_equal(plain.data, cached.data)
    assert len(set(plain.data[0, len(prompt) :].tolist())) > 1
