"""1969, the XOR crisis: what one layer cannot learn, however long it is taught.

Marvin Minsky and Seymour Papert asked in their book Perceptrons what a single layer can compute at all, and proved
limits: it has no parity without a neuron that sees everything at once. The smallest parity is XOR, one or the other
but not both. They knew that more layers can compute it, but nobody knew how to train these, and they guessed that the
extension was sterile. For more than ten years money and people went elsewhere.

Four clouds lie around the corners of a square; opposite ones belong together. The two diagonals cross, and at the
crossing a line would have to answer both yes and no. So of any four points, one from each cloud, a line gets one
wrong: 75 % is the most that it can reach. This program trains one layer from many starts and shows that it fails.

    hatch run python milestones/02_1969_xor/xor_crisis.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinytorch.layers import BCEWithLogitsLoss, Linear, Module
from tinytorch.optim import Adam
from tinytorch.tensor import Array, Tensor, randn

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the milestones share
import claims
import pictures


def xor(count: int) -> tuple[Tensor, Tensor]:
    """`count` points (N, 2) around each corner of the unit square, and their labels (N, 1), 1 where one side is 1."""
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat(count, axis=0)  # (4, 2) -> (N, 2)
    return randn(4 * count, 2) * 0.08 + corners, Tensor((corners.sum(axis=1) == 1).astype(float)[:, None])


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The share of points with a score on the right side of 0."""
    return float(((scores.data > 0) == (labels.data == 1)).mean())


def train(model: Module, points: Tensor, labels: Tensor, steps: int) -> Array:
    """Gradient descent on the cross-entropy of all points; the accuracy before each step and after the last."""
    optimizer, loss_of = Adam(model, lr=0.05), BCEWithLogitsLoss()
    reached = []
    for _ in range(steps):
        scores = model(points)
        reached.append(accuracy(scores, labels))
        optimizer.zero_grad()
        loss_of(scores, labels).backward()
        optimizer.step()
    return np.array([*reached, accuracy(model(points), labels)])


def main(argv: Sequence[str] | None = None) -> int:
    chosen = claims.parse(claims.parser(__doc__), argv)
    points, labels = xor(50)
    starts, steps = (4, 100) if chosen.quick else (20, 200)
    layers = [Linear(2, 1) for _ in range(starts)]
    reached = np.stack([train(layer, points, labels, steps) for layer in layers])  # (starts, steps + 1)

    if chosen.plot:
        drawn, (left, right) = pictures.figure(11, 5, columns=2, title="XOR and one layer: it fails, as it must")
        pictures.plane(left, points.data, labels.data[:, 0], layers[0])
        left.set_title(f"start 1: {reached[0, -1]:.0%} right")
        right.plot(reached[:4].T * 100, label=[f"start {number}" for number in range(1, 5)])
        right.axhline(75, color="black", linestyle="--", label="the most of any line")
        right.set(xlabel="step", ylabel="points on the right side (%)", ylim=(0, 105), title="learning")
        pictures.key(right)
        pictures.save(drawn, chosen.plot)

    last = reached[:, -1]
    return claims.state(
        "one layer fails at XOR: 75% at most, in every step from every start",
        f"it fails: {last.min():.0%} to {last.max():.0%} in the end, {reached.max():.0%} at its best moment",
        bool(reached.max() <= 0.75),
    )


if __name__ == "__main__":
    sys.exit(claims.run(main))
