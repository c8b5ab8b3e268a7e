"""A small network and data that the tests train on."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.data import DataLoader, TensorDataset
from tinytorch.layers import CrossEntropyLoss, Dropout, Linear, Module, ReLU, Sequential
from tinytorch.optim import AdamW, CosineSchedule, WarmupSchedule
from tinytorch.tensor import Tensor, manual_seed
from tinytorch.training import Trainer


def dataset(samples: int = 40, seed: int = 0) -> TensorDataset:
    """Points in space, labeled by which of three directions is largest."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(samples, 3))
    return TensorDataset(points, points.argmax(axis=1))


def pairs(count: int = 5, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    data = dataset(count * size)
    return [data.batch(np.arange(start, start + size)) for start in range(0, count * size, size)]  # type: ignore[misc]


def network(dropout: float = 0.0) -> Module:
    return Sequential(Linear(3, 8), ReLU(), Dropout(dropout), Linear(8, 3))


def trainer(dropout: float = 0.0, seed: int = 0, **options: Any) -> Trainer:
    """A trainer in which every part has a state: dropout, moments, a warmup before a cosine."""
    manual_seed(seed)
    model = network(dropout)
    optimizer = AdamW(model, lr=0.05)
    schedule = WarmupSchedule(optimizer, 5, after=CosineSchedule(optimizer, 40))
    return Trainer(model, optimizer, CrossEntropyLoss(), schedule=schedule, **options)


def loader(**options: Any) -> DataLoader:
    return DataLoader(dataset(), batch_size=8, shuffle=True, **options)


def weights(of: Trainer) -> list[bytes]:
    return [p.data.tobytes() for p in of.run.model.parameters()]
