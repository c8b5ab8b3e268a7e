"""1957, the perceptron before it learns: a weighted sum and a threshold.

Warren McCulloch and Walter Pitts had written in 1943 that a neuron that adds up its inputs and fires above a
threshold can compute logic. In 1957 Frank Rosenblatt, a psychologist at the Cornell Aeronautical Laboratory in
Buffalo, described the perceptron: the same sum and threshold, but with weights that a machine finds by itself. It ran
on an IBM 704 in 1958, and was then built as the Mark I, an eye of 20 by 20 photocells, its weights potentiometers
that motors turned.

Nothing is learned in this program. Weights that were set by hand compute AND, OR and NAND. Weights that were drawn at
random, a thousand times, tell two clouds of points apart no better than a coin. The next program finds the right ones.

    hatch run python milestones/01_1957_perceptron/forward_pass.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from tinytorch.tensor import Array, Tensor, concat, randn

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the milestones share
import claims
import pictures

CORNERS = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
GATES = {  # w1, w2, b: the neuron fires where w1 x1 + w2 x2 + b > 0
    "AND": ([1.0, 1.0, -1.5], [0, 0, 0, 1]),
    "OR": ([1.0, 1.0, -0.5], [0, 1, 1, 1]),
    "NAND": ([-1.0, -1.0, 1.5], [1, 1, 1, 0]),
}


def perceptron(x: Tensor, weights: Tensor) -> Tensor:
    """Which of M neurons fire: x (N, 2), weights (3, M) with the bias in the last row -> (N, M)."""
    return x @ weights[:2] + weights[2] > 0  # (N, 2) @ (2, M) + (M,) -> (N, M)


def logic() -> int:
    """How many of the twelve rows of the three truth tables come out right; shows them."""
    weights = Tensor([weights for weights, _ in GATES.values()]).T  # (3, gates)
    fired = perceptron(CORNERS, weights)  # (4, gates)
    table = Table("x1", "x2", *GATES, title="One neuron, weights set by hand")
    for corner, row in zip(CORNERS.tolist(), fired.tolist(), strict=True):
        table.add_row(*(f"{int(value)}" for value in (*corner, *row)))
    claims.console.print(table)
    wanted = Tensor([rows for _, rows in GATES.values()]).T
    return int((fired == wanted).sum())


def clouds(count: int) -> tuple[Tensor, Array]:
    """Points (2 count, 2) around (-1, -1) and (1, 1), and the class of each."""
    points = concat([randn(count, 2) * 0.5 - 1, randn(count, 2) * 0.5 + 1])
    return points, (Tensor(range(2 * count)) >= count).data


def plot(points: Tensor, labels: Array, weights: Tensor, accuracies: Array, path: Path) -> None:
    drawn, (left, right) = pictures.figure(10, 4.5, columns=2, title="Perceptrons that have not learned")
    pictures.plane(left, points.data, labels)
    for weight, bias in zip(weights.T.data[:12, :2], weights.data[2, :12], strict=True):  # w x + b = 0
        left.axline(-bias * weight / (weight @ weight), slope=-weight[0] / weight[1], color="gray", linewidth=0.8)
    left.set_title("twelve of them")
    right.hist(accuracies * 100, bins=20, range=(0, 100), color=pictures.BLUE, edgecolor="white")
    right.axvline(accuracies.mean() * 100, color="black", label=f"mean {accuracies.mean():.1%}")
    right.set(xlabel="points on the right side (%)", ylabel="perceptrons", title=f"all {accuracies.size:,}")
    pictures.key(right)
    pictures.save(drawn, path)


def main(argv: Sequence[str] | None = None) -> int:
    chosen = claims.parse(claims.parser(__doc__), argv)
    right = logic()

    points, labels = clouds(20 if chosen.quick else 100)
    weights = randn(3, 1000)
    accuracies = (perceptron(points, weights).data == labels[:, None]).mean(axis=0)  # (N, M) -> (M,)
    if chosen.plot:
        plot(points, labels, weights, accuracies, chosen.plot)
    return claims.state(
        "weights set by hand compute AND, OR and NAND; weights drawn at random are right half the time, 45 to 55%",
        f"{right} of 12 rows; {accuracies.mean():.1%}, the mean of {accuracies.size:,} perceptrons",
        right == 12 and 0.45 < accuracies.mean() < 0.55,
    )


if __name__ == "__main__":
    sys.exit(claims.run(main))
