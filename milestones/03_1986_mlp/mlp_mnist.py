"""1986, the same network on MNIST: 70,000 handwritten digits.

Employees of the US census bureau and high-school students wrote these digits. Yann LeCun, Corinna Cortes and
Christopher Burges mixed the two, 60,000 to learn from and 10,000 to be examined with, and for two decades everybody
compared methods on them. In 1998 a network with one hidden layer of 300 read 95.3 % of them, and 96.4 % when it was
taught distorted ones too. Rectifiers, dropout and better optimizers bring such networks above 98 %.

    hatch run python milestones/03_1986_mlp/mlp_mnist.py              fetches 11 MB, the first time
    hatch run python milestones/03_1986_mlp/mlp_mnist.py --folder F   takes the four files in F
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tinytorch.data import Compose, DataLoader, RandomCrop, ToFloat
from tinytorch.data.datasets import mnist
from tinytorch.layers import Dropout, Flatten, Linear, ReLU, Sequential

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the milestones share
import claims
import images

MOVED = Compose(RandomCrop(28, padding=1), ToFloat())  # up to a pixel in each direction


def network() -> Sequential:
    return Sequential(
        Flatten(),  # (N, 1, 28, 28) -> (N, 784)
        Linear(784, 512),
        ReLU(),
        Dropout(0.2),
        Linear(512, 256),
        ReLU(),
        Dropout(0.2),
        Linear(256, 10),  # -> (N, 10), a score for each digit
    )


def main(argv: Sequence[str] | None = None) -> int:
    asked = claims.parser(__doc__)
    claims.add_files(asked)
    chosen = claims.parse(asked, argv)
    epochs, at_least = (1, 0.93) if chosen.quick else (15, 0.98)
    try:
        parts = [mnist(part, chosen.folder, dtype="uint8", verify=not chosen.no_verify) for part in ("train", "test")]
    except (ImportError, OSError, ValueError) as error:
        return claims.fail(error)
    train = DataLoader(parts[0], 128, shuffle=True, prefetch=2, transform=MOVED)
    held_out = DataLoader(parts[1], 1000, transform=ToFloat())
    model = network()
    trained = images.train(model, train, held_out, epochs=epochs, lr=2e-3)
    return images.examine(model, held_out, trained, at_least, plot=chosen.plot)


if __name__ == "__main__":
    sys.exit(claims.run(main))
