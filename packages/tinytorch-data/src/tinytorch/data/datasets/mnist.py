"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..dataset import TensorDataset
from .download import RemoteFile, fetch
from .idx import read_idx
from .images import Bytes, Split, check_split, labelled_images

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def _file(name: str, size: int, sha256: str) -> RemoteFile:
    return RemoteFile(name, size, sha256, tuple(mirror + name for mirror in MIRRORS))


FILES = {  # images, labels
    "train": (
        _file(
            "train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        _file("train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    ),
    "test": (
        _file("t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        _file("t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
}


def mnist(
    split: Split = "train",
    folder: str | Path | None = None,
    *,
    dtype: npt.DTypeLike = np.float32,
    progress: bool = False,
    verify: bool = True,
) -> TensorDataset:
    """60,000 handwritten digits for training, 10,000 for testing: images (N, 1, 28, 28) from 0 to 1, labels (N,).

    The files are taken from `folder` or downloaded to it (11 MB; the cache folder when left out), see `fetch`. With
    `dtype` uint8 the pixels stay bytes. Source: LeCun, Cortes and Burges, The MNIST database (1998).
    Raises ValueError for another split or malformed files, OSError when they cannot be had.
    """
    check_split("mnist", split)
    parts = [
        _read(*(fetch(file, folder, progress=progress, verify=verify) for file in FILES[part]))
        for part in FILES
        if split in (part, "all")
    ]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return labelled_images(images[:, None], labels, white=255, dtype=dtype)


def _read(images_path: Path, labels_path: Path) -> tuple[Bytes, Bytes]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path}: {images.dtype} of shape {images.shape}; MNIST has uint8 images (N, 28, 28)")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1] or (labels > 9).any():
        raise ValueError(f"{labels_path}: {labels.dtype} of shape {labels.shape}; MNIST has a digit 0 to 9 per image")
    return images, labels
