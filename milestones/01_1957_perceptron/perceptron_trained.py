"""1957, the perceptron learns: every mistake moves the line a little.

Rosenblatt's rule is one sentence: where the answer is wrong, add the input to the weights, or subtract it. The Mark I
followed it with electric motors that turned the potentiometers of its weights. Albert Novikoff gave the short proof,
in 1962, that it works: if any line separates the points, the rule finds one, after at most (R / γ)² corrections. R is
the length of the longest input, γ the distance that such a line keeps from all inputs. If no line separates them, it
never rests.

This program counts the corrections and compares them with that bound. It also tries every line that matters, so that
it can say, with certainty, when points are not separable: --overlap draws such points.

    hatch run python milestones/01_1957_perceptron/perceptron_trained.py
    hatch run python milestones/01_1957_perceptron/perceptron_trained.py --overlap
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinytorch.layers import Linear, init
from tinytorch.optim import SGD
from tinytorch.tensor import Array, Tensor, rand, randn

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the milestones share
import claims
import pictures

MARGIN = 0.1


def separable(count: int) -> tuple[Array, Array, float]:
    """Points (N, 2), their classes, and Novikoff's bound for the line that they were drawn around."""
    angle, offset = float(rand()) * 2 * np.pi, float(rand()) - 0.5
    line = np.array([np.cos(angle), np.sin(angle), offset])  # a x + b y + c = 0
    drawn = 2 * rand(4 * count, 2).data - 1
    inputs = np.insert(drawn, 2, 1.0, axis=1)  # (x, y) -> (x, y, 1): the bias is a weight like the others
    inputs = inputs[abs(inputs @ line) > MARGIN][:count]
    longest, distance = np.linalg.norm(inputs, axis=1).max(), abs(inputs @ line).min() / np.linalg.norm(line)
    return inputs[:, :2], (inputs @ line > 0).astype(int), (longest / distance) ** 2


def overlapping(count: int) -> tuple[Array, Array]:
    """Points (N, 2) of two clouds that overlap, and their classes."""
    labels = np.arange(count) % 2
    return randn(count, 2).data * 0.6 + (2 * labels - 1)[:, None] * 0.5, labels


def learn(neuron: Linear, points: Array, labels: Array, rounds: int) -> list[int]:
    """Rosenblatt's rule until a round brings no correction, or `rounds` are over; the corrections of each round."""
    for parameter in neuron.parameters():
        init.zeros(parameter)
    optimizer = SGD(neuron, lr=1.0)
    corrections: list[int] = []
    while len(corrections) < rounds and (not corrections or corrections[-1]):
        corrections.append(0)
        for point, sign in zip(Tensor(points), 2 * labels - 1, strict=True):
            agreement = neuron(point) * float(sign)  # above 0 where the answer is right
            if agreement.item() <= 0:
                optimizer.zero_grad()
                (-agreement).sum().backward()  # its gradient is the input, with the sign of the answer
                optimizer.step()
                corrections[-1] += 1
    return corrections


def best_of_all_lines(points: Array, labels: Array) -> int:
    """How many points the best line has on its right side.

    Any line can be moved until it touches two points without another one changing sides, and then be tilted so
    that these two fall on their right sides, so only the lines through two points must be tried.
    """
    first, second = np.triu_indices(len(points), 1)
    x, y = (points[second] - points[first]).T
    normals = np.stack([-y, x], axis=1)  # (pairs, 2)
    sides = normals @ points.T - (normals * points[first]).sum(axis=1, keepdims=True)  # (pairs, N)
    pairs = np.arange(len(first))
    sides[pairs, first] = sides[pairs, second] = 0
    right = ((sides > 0) & (labels == 1) | (sides < 0) & (labels == 0)).sum(axis=1)
    return int(np.maximum(right, len(points) - 2 - right).max()) + 2


def main(argv: Sequence[str] | None = None) -> int:
    asked = claims.parser(__doc__)
    asked.add_argument("--overlap", action="store_true", help="points that no line can separate")
    chosen = claims.parse(asked, argv)
    count, rounds = (60, 100) if chosen.quick else (200, 1000)
    if chosen.overlap:
        (points, labels), bound, rounds = overlapping(count), np.inf, rounds // 10
    else:
        points, labels, bound = separable(count)

    neuron = Linear(2, 1)
    corrections = learn(neuron, points, labels, rounds)
    right = int(((neuron(Tensor(points)).data[:, 0] > 0) == labels).sum())
    best = best_of_all_lines(points, labels)
    more = ", ..." if len(corrections) > 20 else ""
    claims.console.print(f"corrections, round by round: {', '.join(map(str, corrections[:20]))}{more}")
    if chosen.plot:
        drawn, axes = pictures.figure(6, 6, title=f"The perceptron after {sum(corrections):,} corrections")
        pictures.plane(axes, points, labels, neuron)
        axes.set_title(f"{right} of {count} points on the right side; the best of all lines has {best}")
        pictures.save(drawn, chosen.plot)

    found = f"{right} of {count} points ({right / count:.0%}) after {sum(corrections):,} corrections"
    if best < count:
        found = f"NOT separable: the best of all lines has {best} of {count} points right; the perceptron has {found}"
    if chosen.overlap:
        return claims.state("says so where no line separates the points", found, best < count and right < count)
    claim = f"all points on the right side, after at most (R / γ)² = {bound:,.0f} corrections"
    return claims.state(claim, found, right == count == best and sum(corrections) <= bound)


if __name__ == "__main__":
    sys.exit(claims.run(main))
