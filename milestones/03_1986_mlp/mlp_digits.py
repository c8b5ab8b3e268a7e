"""1986, the multi-layer perceptron: hidden layers that find their own features.

In 1986 David Rumelhart, Geoffrey Hinton and Ronald Williams showed in Nature how errors, propagated backwards, teach
the hidden layers of a network, and what these then come to represent. The method had been found more than once
before; this time people listened, and machines had become fast enough. Their examples were a few dozen patterns long;
within three years such networks read handwritten ZIP codes.

The digits here are real ones: 1,797 images of 8 by 8 pixels, written by 13 people for Ethem Alpaydin and Cevat
Kaynak. A fifth of them is held out. One hidden layer learns to read them in about a second. Dropout and AdamW, which
keep it from learning them by heart, are a generation younger than the network.

    hatch run python milestones/03_1986_mlp/mlp_digits.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tinytorch.data import DataLoader
from tinytorch.data.datasets import digits
from tinytorch.layers import Dropout, Flatten, Linear, ReLU, Sequential

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the milestones share
import claims
import images


def network() -> Sequential:
    return Sequential(
        Flatten(),  # (N, 1, 8, 8) -> (N, 64)
        Linear(64, 256),
        ReLU(),
        Dropout(0.5),
        Linear(256, 10),  # -> (N, 10), a score for each digit
    )


def main(argv: Sequence[str] | None = None) -> int:
    chosen = claims.parse(claims.parser(__doc__), argv)
    epochs, at_least = (10, 0.94) if chosen.quick else (60, 0.97)
    train, held_out = DataLoader(digits("train"), 32, shuffle=True), DataLoader(digits("test"), 355)
    model = network()
    trained = images.train(model, train, held_out, epochs=epochs, lr=5e-3)
    return images.examine(model, held_out, trained, at_least, plot=chosen.plot)


if __name__ == "__main__":
    sys.exit(claims.run(main))
