"""Greedy generation through the key-value cache, one token after the other, beside transformers with its own cache.

Both sides hold the same weights and must give the same tokens; figures are of one new token.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .entry import Entry, Step
from .gpt import Size, our_model

NEW = 64
PROMPT = np.arange(1, 9)[None]
SIZES = {
    "decode-2x32": (Size(2, 32, 4, 100, 128, 1), 1 / 4),
    "decode-4x128": (Size(4, 128, 4, 1000, 128, 1), 1 / 4.5),
    "decode-6x384": (Size(6, 384, 6, 65, 128, 1), 1 / 2.5),
    "decode-gpt2-small": (Size(12, 768, 12, 50257, 128, 1), 1 / 2),
}


def ours(size: Size) -> Step:
    from tinytorch.kvcache import enable_kv_cache

    model = our_model(size).eval()
    cache = enable_kv_cache(model)

    def step() -> Any:
        cache.reset()
        return model.generate(PROMPT, NEW, temperature=0).data[0, PROMPT.shape[1] :]

    return step


def peer(size: Size) -> Step:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=size.vocabulary, n_positions=size.length, n_embd=size.width, n_layer=size.layers, n_head=size.heads,
        activation_function="gelu_new", bos_token_id=0, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    copy_weights(our_model(size), model.transformer)
    prompt = torch.from_numpy(PROMPT)

    def step() -> Any:
        with torch.inference_mode():
            made = model.generate(prompt, max_new_tokens=NEW, do_sample=False, use_cache=True)
        return made[0, prompt.shape[1] :].numpy()

    return step


def copy_weights(source: Any, target: Any) -> None:
    """Give the peer our weights: its layers hold them (in, out) as ours do, queries, keys and values side by side."""
    import torch

    def put(layer: Any, *ours: Any) -> None:
        layer.weight.copy_(torch.from_numpy(np.concatenate([each.weight.data for each in ours], axis=1)))
        layer.bias.copy_(torch.from_numpy(np.concatenate([each.bias.data for each in ours])))

    with torch.no_grad():
        target.wte.weight.copy_(torch.from_numpy(source.token_embedding.weight.data))
        target.wpe.weight.copy_(torch.from_numpy(source.positional.weight.data))
        for ours, theirs in zip(source.blocks, target.h, strict=True):
            put(theirs.attn.c_attn, ours.attention.q_proj, ours.attention.k_proj, ours.attention.v_proj)
            put(theirs.attn.c_proj, ours.attention.out_proj)
            put(theirs.mlp.c_fc, ours.feed_forward.up)
            put(theirs.mlp.c_proj, ours.feed_forward.down)


ENTRIES = [
    Entry(name, partial(ours, size), partial(peer, size), "transformers, cached", target, calls=NEW, tolerance=0.0)
    for name, (size, target) in SIZES.items()
]
