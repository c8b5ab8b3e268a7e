"""Small files in the real formats of MNIST and CIFAR-10."""

import gzip
import io
import tarfile
from typing import Any

import numpy as np
import numpy.typing as npt

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array: npt.NDArray[Any]) -> bytes:
    code = CODES[array.dtype.str[1:]]
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def mnist_pair(count: int, seed: int = 0) -> tuple[bytes, bytes]:
    draw = np.random.default_rng(seed)
    images = draw.integers(256, size=(count, 28, 28), dtype=np.uint8)
    return gzip.compress(idx(images)), gzip.compress(idx(draw.integers(10, size=count, dtype=np.uint8)))


def cifar_batch(count: int, seed: int = 0) -> bytes:
    draw = np.random.default_rng(seed)
    rows = draw.integers(256, size=(count, 3073), dtype=np.uint8)
    rows[:, 0] %= 10
    return rows.tobytes()


def cifar_members(count: int = 2) -> dict[str, bytes]:
    folder = "cifar-10-batches-bin"
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    batches = {f"{folder}/{name}": cifar_batch(count, seed) for seed, name in enumerate(names)}
    return {f"{folder}/batches.meta.txt": b"airplane\n", **batches, f"{folder}/readme.html": b"<p>"}


def tar(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()
