"""One training step of a GPT-2-style model in four sizes: forward, loss, backward, AdamW.

The peer is the usual PyTorch module with fused scaled_dot_product_attention, given the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .entry import Entry, Step


@dataclass(frozen=True)
class Size:
    layers: int
    width: int
    heads: int
    vocabulary: int
    length: int
    batch: int


SIZES = {
    "gpt-1x32": (Size(1, 32, 4, 100, 32, 8), 1.0, None),
    "gpt-2x64": (Size(2, 64, 4, 100, 64, 16), 1.0, 1.2),
    "gpt-4x128": (Size(4, 128, 4, 1000, 128, 8), 1.0, 1.2),
    "gpt-6x384": (Size(6, 384, 6, 65, 256, 4), 1.0, None),
}


def batch(size: Size) -> tuple[Any, Any]:
    tokens = np.random.default_rng(1).integers(0, size.vocabulary, (size.batch, size.length + 1))
    return tokens[:, :-1], tokens[:, 1:]


def our_model(size: Size) -> Any:
    from tinytorch.tensor import manual_seed
    from tinytorch.transformer import GPT

    manual_seed(0)
    return GPT(size.vocabulary, size.width, size.layers, size.heads, size.length)


def ours(size: Size) -> Step:
    from tinytorch.layers import functional as F
    from tinytorch.optim import AdamW

    model = our_model(size)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    x, y = batch(size)

    def step() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def peer(size: Size, compiled: bool = False) -> Step:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
            self.qkv, self.out = nn.Linear(size.width, 3 * size.width), nn.Linear(size.width, size.width)
            self.up, self.down = nn.Linear(size.width, 4 * size.width), nn.Linear(4 * size.width, size.width)

        def forward(self, x: Any) -> Any:
            B, T, D = x.shape
            q, k, v = (p.view(B, T, size.heads, -1).transpose(1, 2) for p in self.qkv(self.norm1(x)).split(D, dim=2))
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(attended.transpose(1, 2).reshape(B, T, D))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(size.vocabulary, size.width), nn.Embedding(size.length, size.width)
            self.blocks = nn.ModuleList(Block() for _ in range(size.layers))
            self.norm = nn.LayerNorm(size.width)

        def forward(self, x: Any) -> Any:
            h = self.tokens(x) + self.places.weight[: x.shape[1]]
            for block in self.blocks:
                h = block(h)
            return self.norm(h) @ self.tokens.weight.T

    model = Model()
    copy_weights(our_model(size), model)
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    x, y = map(torch.from_numpy, batch(size))

    def step() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(run(x).view(-1, size.vocabulary), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def copy_weights(source: Any, target: Any) -> None:
    """Give the peer our initial weights; its linear layers hold them transposed."""
    import torch

    def put(linear: Any, *ours: Any) -> None:
        linear.weight.copy_(torch.from_numpy(np.concatenate([each.weight.data for each in ours], axis=1).T.copy()))
        linear.bias.copy_(torch.from_numpy(np.concatenate([each.bias.data for each in ours])))

    with torch.no_grad():
        target.tokens.weight.copy_(torch.from_numpy(source.token_embedding.weight.data.copy()))
        target.places.weight.copy_(torch.from_numpy(source.positional.weight.data.copy()))
        for ours, theirs in zip(source.blocks, target.blocks, strict=True):
            put(theirs.qkv, ours.attention.q_proj, ours.attention.k_proj, ours.attention.v_proj)
            put(theirs.out, ours.attention.out_proj)
            put(theirs.up, ours.feed_forward.up)
            put(theirs.down, ours.feed_forward.down)


PEER = "PyTorch eager, fused attention"
ENTRIES = [
    Entry(name, partial(ours, size), partial(peer, size), PEER, target, worst)
    for name, (size, target, worst) in SIZES.items()
] + [
    Entry(f"memory-{name}", partial(ours, size), partial(peer, size), PEER, 1.3, memory=True)
    for name, (size, _, _) in SIZES.items()
]
