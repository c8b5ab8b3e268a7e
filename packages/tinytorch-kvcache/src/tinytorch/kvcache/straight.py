"""A new token straight through a decoder: the model's arithmetic on arrays, without the machinery around it.

For one token of a small model, calling modules and dispatching operations takes longer than the arithmetic. Where
every part of a model is known here, its parts are put together as plain functions once; they read the same parameters
and write to the same cache. Nothing sees them run, so whoever wants to see anything gets the modules themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch.attention import MultiHeadAttention, RotaryEmbedding, attention, rotate
from tinytorch.layers import Embedding, LayerNorm, Linear, ModuleList, RMSNorm
from tinytorch.layers import functional as F
from tinytorch.tensor import Array
from tinytorch.transformer import GPT, FeedForward, PositionalEncoding, TransformerBlock

from .attention import cached_attention
from .cache import Cache

Part = Callable[[Array], Array]
Step = Callable[[Array, Array | None], Array | None]
KNOWN = (
    GPT, ModuleList, TransformerBlock, MultiHeadAttention, RotaryEmbedding, FeedForward, PositionalEncoding, Embedding,
    Linear, LayerNorm, RMSNorm,
)  # fmt: skip


def straight(model: Any, attentions: list[Any], cache: Cache) -> Step | None:
    """A function from the last tokens (B,) to the logits of the next, (B, V); None when modules must run themselves.

    Its second argument is a mask of all positions, (B, seq_pos + 1), where some do not count. It writes to the cache
    and does not advance it; for tokens and positions that the model does not know it returns None. It holds until a
    module changes (`tinytorch.layers.changes`).
    """
    rotary, positional = attentions[0].rotary, model.positional
    if not (
        all(known(module, model) for module in model.modules())
        and all(module.core.original is attention and module.rotary is rotary for module in attentions)
    ):
        return None
    table = model.token_embedding.weight
    places = None if positional is None else positional.weight
    here = Here(rotary)
    blocks = [block(part, here, cache) for part in model.blocks]
    last = None if model.norm is None else norm(model.norm)
    head = None if model.head is None else linear(model.head)

    def step(ids: Array, counts: Array | None) -> Array | None:
        tokens, position = ids.tolist(), cache.seq_pos
        if min(tokens) < 0 or max(tokens) >= len(table.data) or (places is not None and position >= len(places.data)):
            return None
        x = table.data[ids]  # (B,) -> (B, D)
        here.move(position, counts, x.dtype)
        if places is not None:
            x += places.data[here.positions]
        for through in blocks:
            x = through(x)
        if last is not None:
            x = last(x)
        return x.dot(table.data.T) if head is None else head(x)

    return step


def known(module: Any, model: Any) -> bool:
    """Whether a module does what its class does, drops nothing, and nobody watches it."""
    drops = module.training and (model.config.dropout if module is model else getattr(module, "dropout", 0))
    untouched = module._hooks is None and (module is model or "forward" not in module.__dict__)
    usual = getattr(module, "weight", True) is not None and isinstance(getattr(module, "features", 1), int)
    return type(module) in KNOWN and untouched and usual and not drops


def block(part: TransformerBlock, here: Here, cache: Cache) -> Part:
    norm1, norm2 = norm(part.norm1), norm(part.norm2)
    attended, fed = attend(part.attention, here, cache), feed_forward(part.feed_forward)

    def norm_first(x: Array) -> Array:
        x += attended(norm1(x))
        x += fed(norm2(x))
        return x

    def norm_after(x: Array) -> Array:
        x = norm1(x + attended(x))
        return norm2(x + fed(x))

    return norm_first if part.norm_first else norm_after


def linear(layer: Linear) -> Part:
    weight, bias = layer.weight, layer.bias

    def step(x: Array) -> Array:
        out = x.dot(weight.data)
        if bias is not None:
            out += bias.data
        return out

    return step


def norm(layer: LayerNorm | RMSNorm) -> Part:
    weight, eps, bias = layer.weight, layer.eps, getattr(layer, "bias", None)
    centre = isinstance(layer, LayerNorm)
    assert isinstance(layer.features, int) and weight is not None  # or it is not known
    average = np.full((layer.features, 1), 1 / layer.features, weight.dtype)

    def step(x: Array) -> Array:
        out = x - x.dot(average) if centre else x
        scale = (out * out).dot(average)
        scale += eps
        np.sqrt(scale, out=scale)
        out = out / scale
        out *= weight.data
        if bias is not None:
            out += bias.data
        return out

    return step


def gelu(x: Array) -> Array:
    """The tanh form, x (1 + tanh(A x (1 + B x²))) / 2, in place where it can be."""
    out = x * x
    out *= 0.044715 * math.sqrt(2 / math.pi)
    out += math.sqrt(2 / math.pi)
    out *= x
    np.tanh(out, out=out)
    out += 1
    out *= x
    out *= 0.5
    return out


ACTIVATIONS: dict[str, Part] = {
    "gelu": gelu,
    "gelu_exact": lambda x: F.gelu.lift(x, approximate="none"),
    "relu": F.relu.lift,
    "silu": F.silu.lift,
    "swiglu": F.silu.lift,
}


def feed_forward(part: FeedForward) -> Part:
    f, up, down = ACTIVATIONS[part.activation], linear(part.up), linear(part.down)
    if part.gate is None:
        return lambda x: down(f(up(x)))
    gate = linear(part.gate)
    return lambda x: down(f(gate(x)) * up(x))


class Here:
    """Where the token stands: looked up once for all layers."""

    def __init__(self, rotary: RotaryEmbedding | None) -> None:
        self.rotary = rotary
        self.positions: Array = np.zeros(1, np.int64)  # one for all sequences, or (B,)
        self.mask: Array | None = None  # (B, 1, 1, S)

    def move(self, position: int, counts: Array | None, dtype: np.dtype[Any]) -> None:
        self.positions, self.mask = np.array([position]), None
        if counts is not None:
            self.positions, self.mask = np.maximum(counts.sum(axis=1) - 1, 0), counts[:, None, None]
        if self.rotary is not None:
            self.cos, self.sin = self.rotary.tables(1, self.positions[:, None], dtype)  # (1 or B, 1, 1, Dh/2)

    def turned(self, x: Array) -> Array:
        return x if self.rotary is None else rotate.lift(x, cos=self.cos, sin=self.sin)


def attend(part: Any, here: Here, cache: Cache) -> Part:
    to_q, to_k, to_v, merge = (linear(layer) for layer in (part.q_proj, part.k_proj, part.v_proj, part.out_proj))
    H, Hkv, D, layer = part.num_heads, part.num_kv_heads, part.head_dim, part.core.layer

    def step(x: Array) -> Array:
        B = len(x)
        q, k, v = to_q(x).reshape(B, H, 1, D), to_k(x).reshape(B, Hkv, 1, D), to_v(x).reshape(B, Hkv, 1, D)
        out = cached_attention.forward(here.turned(q), here.turned(k), v, here.mask, cache=cache, layer=layer)
        return merge(out.reshape(B, H * D))

    return step
