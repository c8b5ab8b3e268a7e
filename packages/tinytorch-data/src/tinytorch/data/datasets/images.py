"""Labelled images as a dataset: bytes as they are, or numbers from 0 to 1."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Tensor

from ..dataset import TensorDataset

Split: TypeAlias = Literal["train", "test", "all"]
Bytes: TypeAlias = npt.NDArray[np.uint8]


def labelled_images(pixels: Bytes, labels: Bytes, white: int, dtype: npt.DTypeLike) -> TensorDataset:
    """Images (N, C, H, W) and labels (N,), the pixels divided by `white` where `dtype` is a floating-point one.

    Raises TypeError when `dtype` is neither uint8 nor a floating-point dtype.
    """
    wanted = np.dtype(dtype)
    if wanted == np.uint8:
        images: npt.NDArray[Any] = pixels
    elif wanted.kind == "f":
        images = pixels.astype(wanted)
        images /= wanted.type(white)
    else:
        raise TypeError(f"dtype {wanted}: give uint8 for the bytes as they are, or float32 for numbers from 0 to 1")
    return TensorDataset(Tensor(images, dtype=wanted), labels.astype(np.int64))


def check_split(name: str, split: str) -> None:
    """Raise ValueError unless `split` is one of the three."""
    if split not in ("train", "test", "all"):
        raise ValueError(f"{name}: split {split!r}; there are 'train', 'test' and 'all'")
