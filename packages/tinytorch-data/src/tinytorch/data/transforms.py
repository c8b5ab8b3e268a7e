"""Changes to whole batches of images (N, C, H, W), each drawing its randomness from the generator it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Tensor, generator_for

Images = TypeVar("Images", npt.NDArray[Any], Tensor)
Array = npt.NDArray[Any]


class Compose:
    """Transforms applied one after the other; the random ones draw from the same generator in turn.

    >>> change = Compose(RandomHorizontalFlip(p=1.0), Normalize(mean=[1.0], std=[2.0]))
    >>> change(np.array([[[[1.0, 3.0]]]], dtype=np.float32))
    array([[[[1., 0.]]]], dtype=float32)
    """

    def __init__(self, *transforms: Callable[..., Any]) -> None:
        self.transforms = transforms

    def __call__(self, images: Images, generator: np.random.Generator | None = None) -> Images:
        for transform in self.transforms:
            images = transform(images, generator=generator)
        return images

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


class RandomCrop:
    """Cut a window of `size` (H, W), or a square, at a place of its own out of each image, padded by zeros first.

    `padding` rows and columns are added on every side. Raises ValueError when the window is larger than what results.

    >>> RandomCrop(2)(np.zeros((5, 3, 4, 4))).shape
    (5, 3, 2, 2)
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0) -> None:
        self.size = (size, size) if isinstance(size, int) else size
        self.padding = padding
        if min(self.size) < 1 or padding < 0:
            raise ValueError(f"RandomCrop: size {self.size}, padding {padding}; size is at least 1, padding at least 0")

    def __call__(self, images: Images, generator: np.random.Generator | None = None) -> Images:
        draw = generator_for("RandomCrop", generator)
        return _like(images, self._crop(_checked(images, "RandomCrop"), draw))

    def _crop(self, pixels: Array, draw: np.random.Generator) -> Array:
        (height, width), pad = self.size, self.padding
        count, _, tall, wide = pixels.shape
        down, right = tall + 2 * pad - height, wide + 2 * pad - width  # the last places where a window fits
        if down < 0 or right < 0:
            raise ValueError(
                f"RandomCrop: size {self.size} from images {(tall, wide)} with padding {pad}; the window must fit"
            )
        padded = np.pad(pixels, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))  # (N, C, d, r, h, w)
        tops, lefts = draw.integers(down + 1, size=count), draw.integers(right + 1, size=count)
        return windows[np.arange(count), :, tops, lefts]  # -> (N, C, h, w)

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding})"


class RandomHorizontalFlip:
    """Mirror each image left to right with probability `p`.

    >>> RandomHorizontalFlip(p=1.0)(np.array([[[[1, 2, 3]]]]))
    array([[[[3, 2, 1]]]])
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"RandomHorizontalFlip: p {p} is not a probability; give a number from 0 to 1")
        self.p = p

    def __call__(self, images: Images, generator: np.random.Generator | None = None) -> Images:
        pixels = _checked(images, "RandomHorizontalFlip")
        mirrored = generator_for("RandomHorizontalFlip", generator).random(len(pixels)) < self.p
        result = pixels.copy()
        result[mirrored] = pixels[mirrored, :, :, ::-1]
        return _like(images, result)

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class ToFloat:
    """Bytes from 0 to 255 as float32 from 0 to 1.

    Raises TypeError unless the images are of dtype uint8.

    >>> ToFloat()(np.full((1, 1, 1, 2), 255, dtype=np.uint8))
    array([[[[1., 1.]]]], dtype=float32)
    """

    def __call__(self, images: Images, generator: np.random.Generator | None = None) -> Images:
        pixels = _checked(images, "ToFloat")
        if pixels.dtype != np.uint8:
            raise TypeError(f"ToFloat: images of dtype {pixels.dtype}; it scales uint8, other images need no ToFloat")
        return _like(images, pixels / np.float32(255))

    def __repr__(self) -> str:
        return "ToFloat()"


class Normalize:
    """`(images - mean) / std`, each a number per channel.

    Raises TypeError for images of integers, ValueError when the number of channels differs.

    >>> Normalize(mean=[0.5], std=[0.25])(np.ones((1, 1, 1, 1), dtype=np.float32))
    array([[[[2.]]]], dtype=float32)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = list(mean), list(std)
        if len(self.mean) != len(self.std) or not all(deviation > 0 for deviation in self.std):
            raise ValueError(f"Normalize: mean {self.mean}, std {self.std}; give one of each per channel, std above 0")

    def __call__(self, images: Images, generator: np.random.Generator | None = None) -> Images:
        pixels = _checked(images, "Normalize")
        if pixels.dtype.kind != "f":
            raise TypeError(f"Normalize: images of dtype {pixels.dtype}; put ToFloat() before it")
        if pixels.shape[1] != len(self.mean):
            raise ValueError(f"Normalize: {pixels.shape[1]} channels and {len(self.mean)} means; give one per channel")
        mean, std = (np.asarray(row, dtype=pixels.dtype)[:, None, None] for row in (self.mean, self.std))  # (C, 1, 1)
        return _like(images, (pixels - mean) / std)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


def _checked(images: Array | Tensor, name: str) -> Array:
    pixels = images.data if isinstance(images, Tensor) else images
    if pixels.ndim != 4:
        raise ValueError(f"{name}: images of shape {pixels.shape}; give a batch (N, C, H, W)")
    return pixels


def _like(images: Images, pixels: Array) -> Images:
    return Tensor(pixels, dtype=pixels.dtype) if isinstance(images, Tensor) else pixels
