"""1969, solved: a second layer, and errors that flow back through it.

Two layers can compute XOR; the question was how to train the first one, because its right answers are not known.
David Rumelhart, Geoffrey Hinton and Ronald Williams took the chain rule, sent the error backwards through the
network, and showed in 1986 that hidden neurons then find features of their own; in their long report, XOR is the
first example. Paul Werbos had proposed the same in his thesis of 1974, and Seppo Linnainmaa had described
reverse-mode differentiation in 1970, one year after Perceptrons.

The points are those at which one layer fails. Here each hidden neuron draws a line of its own, and the second layer
combines what they say.

    hatch run python milestones/02_1969_xor/xor_solved.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xor_crisis import train, xor

from tinytorch.layers import Linear, Sequential, Tanh
from tinytorch.tensor import Array

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the milestones share
import claims
import pictures


def draw_neurons(axes: Any, hidden: Linear) -> None:
    """The line w x + b = 0 of each hidden neuron, where it changes its mind."""
    assert hidden.bias is not None
    for number, (weight, bias) in enumerate(zip(hidden.weight.data.T, hidden.bias.data, strict=True)):
        label = "hidden neurons" if number == 0 else None
        nearest, along = -bias * weight / (weight @ weight), (-weight[1], weight[0])
        axes.axline(nearest, nearest + along, color="gray", linewidth=0.9, linestyle="--", label=label)
    pictures.key(axes)


def plot(model: Sequential, hidden: Linear, data: tuple[Array, Array], reached: Array, path: Path) -> None:
    drawn, (left, right) = pictures.figure(11, 5, columns=2, title="XOR and two layers")
    pictures.plane(left, *data, model)
    draw_neurons(left, hidden)
    left.set_title(f"the decision boundary: {reached[-1]:.0%} right")
    right.plot(reached * 100, color=pictures.BLUE, label="two layers")
    right.axhline(75, color="black", linestyle="--", label="the most that one layer can do")
    right.set(xlabel="step", ylabel="points on the right side (%)", ylim=(0, 105), title="learning")
    pictures.key(right)
    pictures.save(drawn, path)


def main(argv: Sequence[str] | None = None) -> int:
    chosen = claims.parse(claims.parser(__doc__), argv)
    points, labels = xor(50)
    hidden = Linear(2, 8)
    model = Sequential(hidden, Tanh(), Linear(8, 1))
    reached = train(model, points, labels, steps=100 if chosen.quick else 200)
    if chosen.plot:
        plot(model, hidden, (points.data, labels.data[:, 0]), reached, chosen.plot)
    solved = int((reached < 1).nonzero()[0].max(initial=-1)) + 1
    return claims.state(
        "two layers learn XOR: 100%",
        f"{reached[-1]:.0%} of {len(points)} points" + (f", from step {solved} on" if reached[-1] == 1 else ""),
        bool(reached[-1] == 1),
    )


if __name__ == "__main__":
    sys.exit(claims.run(main))
