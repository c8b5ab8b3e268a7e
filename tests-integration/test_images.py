"""A convolutional network: layers, optimizer, spatial layers and profiler together."""

from __future__ import annotations

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.data import DataLoader, datasets
from tinytorch.layers import CrossEntropyLoss, Flatten, Linear, ReLU, Sequential
from tinytorch.optim import Adam
from tinytorch.profiler import Profiler
from tinytorch.spatial import AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d
from tinytorch.tensor import manual_seed, randn


def test_every_operation_on_images_is_counted() -> None:
    model = Sequential(
        Conv2d(1, 4, 3, padding="same"), BatchNorm2d(4), ReLU(), MaxPool2d(2),
        Conv2d(4, 8, 3, padding=1, stride=2, groups=2), AvgPool2d(2), AdaptiveAvgPool2d(1), Flatten(), Linear(8, 2),
    )  # fmt: skip
    with Profiler(model) as prof:
        model(randn(2, 1, 16, 16)).sum().backward()
    assert not prof.not_counted
    first, second, last = 2 * 2 * 4 * 16 * 16 * 9, 2 * 2 * 8 * 4 * 4 * 2 * 9, 2 * 2 * 8 * 2
    assert prof.flops == 2 * first + 3 * second + 3 * last  # nobody asks for the gradient of the data


def test_three_passes_over_the_digits_teach_a_convolutional_network() -> None:
    manual_seed(0)
    model = Sequential(Conv2d(1, 8, 3, padding=1), BatchNorm2d(8), ReLU(), MaxPool2d(2), Flatten(), Linear(128, 10))
    optimizer, loss_of = Adam(model.parameters(), lr=0.01), CrossEntropyLoss()
    loader = DataLoader(datasets.digits("train"), batch_size=64, shuffle=True, generator=np.random.default_rng(0))
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
    ((x, y),) = DataLoader(datasets.digits("test"), batch_size=355)
    with no_grad():
        right = (model.eval()(x).argmax(axis=1) == y).data
    assert right.mean() > 0.95
