"""Shuffled batches of 60,000 images of 28 x 28 bytes, beside a bare NumPy gather of the same batches."""

from __future__ import annotations

import numpy as np

from .entry import Entry, Step

IMAGES = (60_000, 1, 28, 28)
BATCH = 256


def ours() -> Step:
    from tinytorch.data import DataLoader, TensorDataset
    from tinytorch.tensor import Tensor

    images = Tensor(np.zeros(IMAGES, np.uint8), dtype=np.uint8)
    labels = Tensor(np.zeros(IMAGES[0], np.int64))
    loader = DataLoader(TensorDataset(images, labels), batch_size=BATCH, shuffle=True, generator=0)

    def step() -> None:
        for _ in loader:
            pass

    return step


def peer() -> Step:
    images, labels = np.zeros(IMAGES, np.uint8), np.zeros(IMAGES[0], np.int64)
    rng = np.random.default_rng(0)

    def step() -> None:
        order = rng.permutation(len(images))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            images[chosen], labels[chosen]

    return step


ENTRIES = [Entry("loader", ours, peer, "a bare NumPy gather", 1.25)]
