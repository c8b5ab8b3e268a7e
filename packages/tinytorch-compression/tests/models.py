"""Models that the tests make smaller."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import GELU, Embedding, Flatten, Linear, Module, ReLU, Sequential
from tinytorch.spatial import BatchNorm2d, Conv2d, MaxPool2d
from tinytorch.tensor import Tensor
from tinytorch.transformer import GPT, TransformerConfig


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def make_mlp(**options: Any) -> Sequential:
    drawn: dict[str, Any] = {"generator": rng(), **options}
    return Sequential(Linear(8, 16, **drawn), ReLU(), Linear(16, 12, **drawn), GELU(), Linear(12, 4, **drawn))


def make_cnn(**options: Any) -> Sequential:
    drawn: dict[str, Any] = {"generator": rng(), **options}
    norm = BatchNorm2d(8, dtype=options.get("dtype"))
    for buffer in (norm.weight, norm.bias, norm.running_mean):
        assert buffer is not None
        buffer.data[...] = rng(1).normal(size=8)
    assert norm.running_var is not None
    norm.running_var.data[...] = rng(2).uniform(0.5, 2.0, 8)
    model = Sequential(
        Conv2d(4, 8, 3, padding=1, **drawn), norm, ReLU(), MaxPool2d(2), Conv2d(8, 12, 3, **drawn), ReLU(), Flatten(),
        Linear(12 * 2 * 2, 5, **drawn),
    )  # fmt: skip
    return model.eval()


def make_gpt(dtype: Any = None, **options: Any) -> GPT:
    given: dict[str, Any] = {"vocab_size": 23, "embed_dim": 16, "num_layers": 2, "num_heads": 4, "max_seq_len": 24}
    return GPT(**{**given, **options}, dtype=dtype, generator=rng()).eval()


def make_llama(dtype: Any = None, **options: Any) -> GPT:
    config = TransformerConfig.llama(
        vocab_size=23, embed_dim=16, num_layers=2, num_heads=4, num_kv_heads=2, max_seq_len=24, tied=False, **options
    )
    return GPT.from_config(config, dtype=dtype, generator=rng()).eval()


def tokens(batch: int = 2, length: int = 7, seed: int = 0) -> Tensor:
    return Tensor(rng(seed).integers(0, 23, (batch, length)))


def floats(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Tensor:
    return Tensor(rng(seed).normal(size=shape), dtype)


def example(model: Module) -> Tensor:
    """An input that the model takes."""
    first = next(module for module in model.modules() if not module.children())
    if isinstance(first, Embedding):
        return tokens()
    dtype = model.parameters()[0].dtype
    return floats(3, 8, dtype=dtype) if isinstance(first, Linear) else floats(3, 4, 8, 8, dtype=dtype)


def numbers(model: Module) -> dict[str, Any]:
    """A copy of everything that a model holds: to see that nothing is left of a change."""
    return {
        "state": {name: tensor.data.tobytes() for name, tensor in model.state_dict().items()},
        "attributes": {
            name: [attribute for attribute, value in vars(module).items() if (attribute, value) != ("_hooks", None)]
            for name, module in model.named_modules()
        },
        "kinds": {name: type(module) for name, module in model.named_modules()},
        "learned": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "text": repr(model),
    }
