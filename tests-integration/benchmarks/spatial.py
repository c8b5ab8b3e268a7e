"""A training step of a network like LeNet-5 on images of 28 x 28, and one convolution alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from .entry import Entry, Step

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((64, 1, 28, 28)).astype(np.float32)
LABELS = RNG.integers(0, 10, 64)
PICTURES = RNG.standard_normal((8, 3, 32, 32)).astype(np.float32)


def our_lenet() -> Any:
    from tinytorch.layers import Flatten, Linear, ReLU, Sequential
    from tinytorch.spatial import Conv2d, MaxPool2d
    from tinytorch.tensor import manual_seed

    manual_seed(0)
    return Sequential(
        Conv2d(1, 6, 5, padding=2), ReLU(), MaxPool2d(2),
        Conv2d(6, 16, 5), ReLU(), MaxPool2d(2),
        Flatten(), Linear(400, 120), ReLU(), Linear(120, 84), ReLU(), Linear(84, 10),
    )  # fmt: skip


def our_lenet_step() -> Step:
    from tinytorch.layers import CrossEntropyLoss
    from tinytorch.optim import Adam
    from tinytorch.tensor import Tensor

    model = our_lenet()
    optimizer, loss_of = Adam(model.parameters(), lr=1e-3), CrossEntropyLoss()
    x, y = Tensor(IMAGES), Tensor(LABELS)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def their_lenet_step() -> Step:
    import torch
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    with torch.no_grad():
        for theirs, ours in zip(model.parameters(), our_lenet().parameters(), strict=True):
            theirs.copy_(torch.from_numpy(ours.data.T if theirs.ndim == 2 else ours.data))
    optimizer, loss_of = torch.optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    x, y = torch.from_numpy(IMAGES), torch.from_numpy(LABELS)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def our_conv() -> Any:
    from tinytorch.spatial import Conv2d
    from tinytorch.tensor import manual_seed

    manual_seed(0)
    return Conv2d(3, 16, 3, padding=1)


def our_conv_step() -> Step:
    from tinytorch.autograd import no_grad
    from tinytorch.tensor import Tensor

    conv, x = our_conv(), Tensor(PICTURES)

    def step() -> Any:
        with no_grad():
            return conv(x).data

    return step


def their_conv_step() -> Step:
    import torch

    conv, x = torch.nn.Conv2d(3, 16, 3, padding=1), torch.from_numpy(PICTURES)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(our_conv().weight.data))
        conv.bias.copy_(torch.from_numpy(our_conv().bias.data))

    def step() -> Any:
        with torch.no_grad():
            return conv(x).numpy()

    return step


ENTRIES = [
    Entry("lenet", our_lenet_step, their_lenet_step, "PyTorch eager", 1.0, 1.5),
    Entry("conv2d", our_conv_step, their_conv_step, "PyTorch eager", 2.0),
]
