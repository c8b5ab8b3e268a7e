"""One description from which every family of transformers is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import check_int

DType: TypeAlias = npt.DTypeLike | None
Generator: TypeAlias = np.random.Generator | None

Norm = Literal["layer", "rms"]
Positions = Literal["learned", "sinusoidal", "rotary", "none"]
Activation = Literal["gelu", "gelu_exact", "relu", "silu", "swiglu"]


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The sizes of a transformer, and which of its parts it is made of.

    `num_kv_heads`, `head_dim` and `hidden_dim` follow from the other sizes unless given. `max_seq_len` is how many
    positions are learned; positions of other kinds go on beyond it. Raises ValueError for what does not fit together.

    >>> TransformerConfig.llama(vocab_size=100, embed_dim=16, num_layers=2, num_heads=4, max_seq_len=32).norm
    'rms'
    """

    vocab_size: int
    embed_dim: int
    num_layers: int
    num_heads: int
    max_seq_len: int
    num_kv_heads: int | None = None
    head_dim: int | None = None
    hidden_dim: int | None = None  # of the feed-forward part
    activation: Activation = "gelu"
    norm: Norm = "layer"
    norm_eps: float = 1e-5
    norm_first: bool = True  # before each part, as in GPT-2; or after it, as in the original
    positions: Positions = "learned"
    rotary_base: float = 10000.0
    rotary_scaling: Mapping[str, Any] | None = None
    bias: bool = True
    attention_bias: bool | None = None  # like bias, unless given
    dropout: float = 0.0
    tied: bool = True  # whether the head is the embedding's table
    num_segments: int = 0  # kinds of segments that an encoder tells apart
    stop_tokens: tuple[int, ...] = ()  # where generation stops, unless it is told where

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "embed_dim", "num_layers", "num_heads", "max_seq_len")
        given = [name for name in ("num_kv_heads", "head_dim", "hidden_dim") if getattr(self, name) is not None]
        for name in (*sizes, *given):
            check_int("TransformerConfig", name, getattr(self, name), minimum=1)
        for name in ("norm_first", "bias", "tied"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"TransformerConfig: {name} is {getattr(self, name)!r}; it must be True or False")
        check_int("TransformerConfig", "num_segments", self.num_segments)
        if any(check_int("TransformerConfig", "a stop token", token) >= self.vocab_size for token in self.stop_tokens):
            raise ValueError(f"TransformerConfig: stop_tokens {self.stop_tokens}; they must be below {self.vocab_size}")
        for name, choices in (("norm", Norm), ("positions", Positions), ("activation", Activation)):
            if (value := getattr(self, name)) not in get_args(choices):
                raise ValueError(f"TransformerConfig: {name} is {value!r}; known are {', '.join(get_args(choices))}")

    @classmethod
    def gpt2(cls, **given: Any) -> TransformerConfig:
        """Learned positions, layer norm first, GELU, a tied head. Source: Radford et al. 2019."""
        return cls(**given)

    @classmethod
    def llama(cls, **given: Any) -> TransformerConfig:
        """Rotary positions, RMS norm first, SwiGLU, no biases. Source: Touvron et al. 2023, section 2.2.

        The feed-forward part has 8/3 of `embed_dim` numbers, rounded up to a multiple of 8, or `hidden_dim`.
        """
        defaults: dict[str, Any] = {"norm": "rms", "positions": "rotary", "activation": "swiglu", "bias": False}
        if "embed_dim" in given:
            defaults["hidden_dim"] = -(-8 * given["embed_dim"] // 24) * 8
        return cls(**{**defaults, **given})

    @classmethod
    def bert(cls, **given: Any) -> TransformerConfig:
        """Learned positions and segments, layer norm after each part, exact GELU. Source: Devlin et al. 2018."""
        defaults = {"norm_first": False, "norm_eps": 1e-12, "activation": "gelu_exact", "num_segments": 2}
        return cls(**{**defaults, **given})

    @classmethod
    def original(cls, **given: Any) -> TransformerConfig:
        """Sinusoidal positions, layer norm after each part, ReLU, a tied head. Source: Vaswani et al. 2017."""
        return cls(**{"norm_first": False, "activation": "relu", "positions": "sinusoidal", **given})


def check_config(owner: str, config: Any) -> TransformerConfig:
    """`config`, unless it is something else: TypeError that says it is `owner`'s."""
    if isinstance(config, TransformerConfig):
        return config
    raise TypeError(f"{owner}: config is {config!r:.40}; give a TransformerConfig, such as TransformerConfig.gpt2(...)")
