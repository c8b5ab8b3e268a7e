"""Small decoders of every family, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.transformer import GPT, TransformerConfig

VOCAB = 17


def make(family: str = "gpt2", dtype: Any = np.float64, seed: int = 0, **changes: Any) -> GPT:
    sizes: dict[str, Any] = {"vocab_size": VOCAB, "embed_dim": 16, "num_layers": 3, "num_heads": 4, "max_seq_len": 32}
    config = {
        "gpt2": TransformerConfig.gpt2,
        "llama": TransformerConfig.llama,
        "grouped": lambda **given: TransformerConfig.llama(num_kv_heads=2, **given),
        "one_kv_head": lambda **given: TransformerConfig.llama(num_kv_heads=1, tied=False, **given),
        "original": TransformerConfig.original,
        "no_positions": lambda **given: TransformerConfig.gpt2(positions="none", **given),
    }[family](**{**sizes, **changes})
    model = GPT.from_config(config, dtype=dtype, generator=np.random.default_rng(seed)).eval()
    for parameter in model.parameters():  # as they start, weights are so small that every logit looks alike
        parameter.data *= 5
    return model


FAMILIES = ["gpt2", "llama", "grouped", "one_kv_head", "original", "no_positions"]


def tokens(batch_size: int, length: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, VOCAB, (batch_size, length))


class Spy:
    """Counts the positions that a model really computes: those that its token embedding looks up."""

    def __init__(self, model: GPT) -> None:
        self.computed: list[int] = []
        self._handle = model.token_embedding.register_forward_pre_hook(self._see)

    def _see(self, module: Any, args: Any, kwargs: Any) -> None:
        self.computed.append(args[0].shape[1])

    def __enter__(self) -> Spy:
        return self

    def __exit__(self, *exc: object) -> None:
        self._handle.remove()
