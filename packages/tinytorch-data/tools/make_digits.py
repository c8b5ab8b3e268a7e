"""Make src/tinytorch/data/files/digits/digits.npz from the copy in scikit-learn: `uv run --with scikit-learn ...`."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parents[1] / "src" / "tinytorch" / "data" / "files" / "digits" / "digits.npz"


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    held_out = np.zeros(len(labels), dtype=bool)
    generator = np.random.default_rng(1998)
    for digit in range(10):  # a fifth of each digit
        places = np.flatnonzero(labels == digit)
        held_out[generator.permutation(places)[: len(places) // 5]] = True
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    np.savez_compressed(TARGET, images=images, labels=labels.astype(np.uint8), held_out=held_out)


if __name__ == "__main__":
    main()
