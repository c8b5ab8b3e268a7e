"""One training step of a small perceptron: 64 inputs, 128 hidden, 10 classes, 32 samples, Adam."""

from __future__ import annotations

import numpy as np

from .entry import Entry, Step

RNG = np.random.default_rng(0)
X = RNG.standard_normal((32, 64)).astype(np.float32)
Y = RNG.integers(0, 10, 32)
W1 = (RNG.standard_normal((64, 128)) / 8).astype(np.float32)
W2 = (RNG.standard_normal((128, 10)) / 11).astype(np.float32)


def ours() -> Step:
    from tinytorch.layers import CrossEntropyLoss, Linear, ReLU, Sequential
    from tinytorch.optim import Adam
    from tinytorch.tensor import Tensor

    model = Sequential(Linear(64, 128), ReLU(), Linear(128, 10))
    for layer, weight in ((model[0], W1), (model[2], W2)):
        layer.weight.data[...] = weight
        layer.bias.data[...] = 0
    optimizer, loss_of = Adam(model.parameters(), lr=1e-3), CrossEntropyLoss()
    x, y = Tensor(X), Tensor(Y)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def peer() -> Step:
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    with torch.no_grad():
        for layer, weight in ((model[0], W1), (model[2], W2)):
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.zero_()
    optimizer, loss_of = torch.optim.Adam(model.parameters(), lr=1e-3), torch.nn.CrossEntropyLoss()
    x, y = torch.from_numpy(X), torch.from_numpy(Y)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


ENTRIES = [Entry("mlp", ours, peer, "PyTorch eager", 0.5)]
