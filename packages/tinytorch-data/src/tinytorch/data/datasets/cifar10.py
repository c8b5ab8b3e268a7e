"""CIFAR-10, binary version: 60,000 small color photographs in ten classes."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from ..dataset import TensorDataset
from .download import RemoteFile, fetch
from .images import Bytes, Split, check_split, labelled_images

NAME = "cifar-10-binary.tar.gz"
ARCHIVE = RemoteFile(
    NAME,
    170052171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    (
        f"https://www.cs.toronto.edu/~kriz/{NAME}",
        f"https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/{NAME}",
    ),
)
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""What the labels 0 to 9 of CIFAR-10 stand for."""

TRAIN = [f"data_batch_{number}.bin" for number in range(1, 6)]
TEST = ["test_batch.bin"]
RECORD = 1 + 3 * 32 * 32  # the label, then the red, green and blue planes
RECORDS = 10_000  # in one batch
MOST_BYTES = 1 << 28  # the real archive unpacks to 184 MB


def cifar10(
    split: Split = "train",
    folder: str | Path | None = None,
    *,
    dtype: npt.DTypeLike = np.float32,
    progress: bool = False,
    verify: bool = True,
) -> TensorDataset:
    """50,000 color photographs for training, 10,000 for testing: images (N, 3, 32, 32) from 0 to 1, labels (N,).

    The archive is taken from `folder` or downloaded to it (170 MB; the cache folder when left out), see `fetch`. With
    `dtype` uint8 the pixels stay bytes, a quarter of the memory. `CIFAR10_CLASSES` names the labels.
    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    Raises ValueError for another split or a malformed archive, OSError when it cannot be had.
    """
    check_split("cifar10", split)
    names = {"train": TRAIN, "test": TEST, "all": TRAIN + TEST}[split]
    batches = read_cifar10(fetch(ARCHIVE, folder, progress=progress, verify=verify))
    images, labels = (np.concatenate(arrays) for arrays in zip(*(batches[name] for name in names), strict=True))
    return labelled_images(images, labels, white=255, dtype=dtype)


def read_cifar10(path: str | Path) -> dict[str, tuple[Bytes, Bytes]]:
    """The six batches in the archive by file name: images (N, 3, 32, 32) and labels (N,), bytes.

    Nothing is unpacked to disk. Raises ValueError for an archive that is malformed, truncated, too large, lacks a batch
    or has it twice, or has a member that is a link or points out of the folder.
    """
    batches: dict[str, tuple[Bytes, Bytes]] = {}
    try:
        with _Bounded(path) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                name = _checked_name(member)
                if name not in TRAIN + TEST:
                    continue
                if name in batches:
                    raise ValueError(f"{name} is there twice")
                if not 0 < member.size <= RECORD * RECORDS or member.size % RECORD:
                    raise ValueError(f"{name} has {member.size:,} bytes, not 1 to {RECORDS} records of {RECORD}")
                content = archive.extractfile(member)
                batches[name] = _records(name, content.read() if content else b"")
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {error}; this is not the {NAME} of CIFAR-10, get it again") from error
    if missing := sorted({*TRAIN, *TEST} - set(batches)):
        raise ValueError(f"{path}: {', '.join(missing)} missing; this is not the {NAME} of CIFAR-10, get it again")
    return batches


def _checked_name(member: tarfile.TarInfo) -> str:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
        raise ValueError(f"{member.name!r} is a link or points out of its folder")
    return path.name if member.isreg() else ""


def _records(name: str, content: bytes) -> tuple[Bytes, Bytes]:
    rows = np.frombuffer(content, np.uint8).reshape(-1, RECORD)  # (N, 3073)
    if (rows[:, 0] > 9).any():
        raise ValueError(f"{name} has a label above 9")
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]


class _Bounded(gzip.GzipFile):
    """A gzipped file of which never more is unpacked than the real archive could hold."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.left = MOST_BYTES

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError(f"unpacks to more than {MOST_BYTES:,} bytes")
        return data
