"""Handwritten digits, small enough to ship."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import numpy.typing as npt

from ..dataset import TensorDataset
from .images import Split, check_split, labelled_images


def digits(split: Split = "train", dtype: npt.DTypeLike = np.float32) -> TensorDataset:
    """1,797 handwritten digits: images (N, 1, 8, 8) from 0 to 1 and labels (N,).

    1,442 are for training, 355 (a fifth of each digit) for testing. With `dtype` uint8 the pixels are the original 0 to
    16. Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (CC BY 4.0).
    Raises ValueError for another split, TypeError for a dtype that is neither uint8 nor floating point.

    >>> image, label = digits("test")[0]
    >>> image.shape, len(digits("train")), len(digits("test"))
    ((1, 8, 8), 1442, 355)
    """
    check_split("digits", split)
    with (files("tinytorch.data") / "files" / "digits" / "digits.npz").open("rb") as source:
        arrays = np.load(source, allow_pickle=False)
        images, labels, held_out = arrays["images"], arrays["labels"], arrays["held_out"]
    chosen = {"train": ~held_out, "test": held_out, "all": slice(None)}[split]
    return labelled_images(images[chosen, None], labels[chosen], white=16, dtype=dtype)
