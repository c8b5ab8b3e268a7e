"""1998, convolution leaves the page: photographs of airplanes, frogs and trucks.

LeNet-5 read digits. That the same idea would carry over to photographs, data and machines had to grow to show.
CIFAR-10, 60,000 photographs of 32 by 32 pixels in ten classes, was collected by Alex Krizhevsky, Vinod Nair and
Geoffrey Hinton out of 80 million tiny images of the web, and described in 2009. Krizhevsky's network of 2012 then won
the ImageNet contest by a wide margin, with layers like LeNet's, more of them, on two graphics cards.

This network stands between the two: four layers of small eyes, each followed by batch normalization, and photographs
that are moved and mirrored, so that they seldom look the same twice. It takes about a quarter of an hour on two cores.

    hatch run python milestones/04_1998_cnn/lecun_cifar10.py              fetches 170 MB, the first time
    hatch run python milestones/04_1998_cnn/lecun_cifar10.py --folder F   takes the archive in F
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cnn_digits import features

from tinytorch.data import Compose, DataLoader, Normalize, RandomCrop, RandomHorizontalFlip, Subset, ToFloat
from tinytorch.data.datasets import CIFAR10_CLASSES, cifar10
from tinytorch.layers import Dropout, Flatten, Linear, Sequential
from tinytorch.spatial import MaxPool2d

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the milestones share
import claims
import images

SEEN = Compose(ToFloat(), Normalize(mean=[0.491, 0.482, 0.447], std=[0.247, 0.243, 0.262]))  # of the training images
MOVED = Compose(RandomCrop(32, padding=4), RandomHorizontalFlip(), SEEN)


def network() -> Sequential:
    return Sequential(
        *features(3, 32),
        MaxPool2d(2),  # -> (N, 32, 16, 16)
        *features(32, 64),
        MaxPool2d(2),  # -> (N, 64, 8, 8)
        *features(64, 128),
        *features(128, 128),
        MaxPool2d(2),  # -> (N, 128, 4, 4)
        Flatten(),
        Dropout(0.3),
        Linear(2048, 10),  # -> (N, 10), a score for each class
    )


def main(argv: Sequence[str] | None = None) -> int:
    asked = claims.parser(__doc__)
    claims.add_files(asked)
    chosen = claims.parse(asked, argv)
    try:
        parts = [cifar10(part, chosen.folder, dtype="uint8", verify=not chosen.no_verify) for part in ("train", "test")]
    except (ImportError, OSError, ValueError) as error:
        return claims.fail(error)
    epochs, at_least, most = (2, 0.3, 5000) if chosen.quick else (15, 0.75, 50_000)
    some = [Subset(part, range(min(most, len(part)))) for part in parts]
    train = DataLoader(some[0], 64, shuffle=True, prefetch=2, transform=MOVED)
    held_out = DataLoader(some[1], 500, transform=SEEN)
    model = network()
    trained = images.train(model, train, held_out, epochs=epochs, lr=2e-3)
    return images.examine(model, held_out, trained, at_least, CIFAR10_CLASSES, chosen.plot)


if __name__ == "__main__":
    sys.exit(claims.run(main))
