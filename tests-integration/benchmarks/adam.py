"""One step of Adam on parameters of three sizes, compared with PyTorch's foreach Adam."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .entry import Entry, Step

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "adam-mlp": [(64, 128), (128,), (128, 10), (10,)],
    "adam-1m": [(128, 128), (128,), (128, 512), (512,), (512, 128), (128,)] * 6,
    "adam-10m": [(384, 384), (384,), (384, 1536), (1536,), (1536, 384), (384,)] * 8,
}


def arrays(name: str) -> list[tuple[Any, Any]]:
    """Parameters and their gradients."""
    rng = np.random.default_rng(0)
    return [tuple(rng.standard_normal(shape).astype(np.float32) for _ in range(2)) for shape in SHAPES[name]]


def ours(name: str) -> Step:
    from tinytorch.layers import Parameter
    from tinytorch.optim import Adam
    from tinytorch.tensor import Tensor

    parameters = []
    for value, gradient in arrays(name):
        parameters.append(Parameter(value))
        parameters[-1].grad = Tensor(gradient)
    optimizer = Adam(parameters, lr=1e-3)

    def step() -> Any:
        optimizer.step()
        return parameters[0].data

    return step


def peer(name: str) -> Step:
    import torch

    parameters = []
    for value, gradient in arrays(name):
        parameters.append(torch.nn.Parameter(torch.from_numpy(value)))
        parameters[-1].grad = torch.from_numpy(gradient)
    optimizer = torch.optim.Adam(parameters, lr=1e-3, foreach=True)

    def step() -> Any:
        optimizer.step()
        return parameters[0].detach().numpy()

    return step


ENTRIES = [Entry(name, partial(ours, name), partial(peer, name), "PyTorch foreach Adam", 1.0) for name in SHAPES]
