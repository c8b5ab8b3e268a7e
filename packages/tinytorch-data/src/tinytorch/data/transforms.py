"""Changes to images, whole batches or single ones; random ones draw from the generator they are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tinytorch.tensor import Tensor, array_of, check_int, generator_for

Images = TypeVar("Images", npt.NDArray[Any], Tensor)
Array = npt.NDArray[Any]


class Compose:
    """Transforms, one by one or in a list, applied one after the other; random ones draw from one generator in turn.

    >>> change = Compose(RandomHorizontalFlip(p=1.0), Normalize(mean=[1.0], std=[2.0]))
    >>> change(np.array([[[[1.0, 3.0]]]], dtype=np.float32))
    array([[[[1., 0.]]]], dtype=float32)
    """

    def __init__(self, *transforms: Callable[..., Any] | Sequence[Callable[..., Any]]) -> None:
        listed = [each if isinstance(each, list | tuple) else (each,) for each in transforms]
        self.transforms = tuple(transform for each in listed for transform in each)
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"Compose: {transform!r} is not a transform; give functions, or a list of them")

    def __call__(self, images: Images, generator: np.random.Generator | None = None) -> Images:
        for transform in self.transforms:
            images = transform(images, generator=generator)
        return images

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


class ImageTransform(ABC):
    """Takes a batch (N, C, H, W) or one image (C, H, W), arrays or tensors, and gives the same.

    With `channels_last` they are (N, H, W, C) and (H, W, C). Raises ValueError for other numbers of axes.
    """

    def __init__(self, channels_last: bool = False) -> None:
        self.channels_last = channels_last

    def __call__(self, images: Images, generator: np.random.Generator | None = None) -> Images:
        name, pixels = type(self).__name__, array_of(images)
        if pixels.ndim not in (3, 4):
            layout = "H, W, C" if self.channels_last else "C, H, W"
            raise ValueError(f"{name}: images of shape {pixels.shape}; give a batch (N, {layout}) or one ({layout})")
        batch = pixels if pixels.ndim == 4 else pixels[None]
        batch = np.moveaxis(batch, -1, 1) if self.channels_last else batch  # -> (N, C, H, W)
        result = self.change(batch, generator_for(name, generator))
        result = np.moveaxis(result, 1, -1) if self.channels_last else result
        result = result if pixels.ndim == 4 else result[0]
        return Tensor(result, dtype=result.dtype) if isinstance(images, Tensor) else result

    @abstractmethod
    def change(self, pixels: Array, generator: np.random.Generator) -> Array:
        """The changed batch (N, C, H, W); `pixels` stay as they are."""

    def __repr__(self) -> str:
        options = (f"{name}={value}" for name, value in vars(self).items() if value is not False)
        return f"{type(self).__name__}({', '.join(options)})"


class RandomCrop(ImageTransform):
    """Cut a window of `size` (H, W), or a square, at a place of its own out of each image, padded by zeros first.

    `padding` rows and columns are added on every side. Raises ValueError when the window is larger than what results.

    >>> RandomCrop(2)(np.zeros((5, 3, 4, 4))).shape, RandomCrop(2, channels_last=True)(np.zeros((4, 4, 3))).shape
    ((5, 3, 2, 2), (2, 2, 3))
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0, *, channels_last: bool = False) -> None:
        height, width = size if isinstance(size, tuple | list) else (size, size)
        self.size = tuple(check_int("RandomCrop", "size", side, minimum=1) for side in (height, width))
        self.padding = check_int("RandomCrop", "padding", padding)
        super().__init__(channels_last)

    def change(self, pixels: Array, generator: np.random.Generator) -> Array:
        (height, width), pad = self.size, self.padding
        count, _, tall, wide = pixels.shape
        down, right = tall + 2 * pad - height, wide + 2 * pad - width  # the last places where a window fits
        if down < 0 or right < 0:
            raise ValueError(
                f"RandomCrop: size {self.size} from images {(tall, wide)} with padding {pad}; the window must fit"
            )
        padded = np.pad(pixels, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))  # (N, C, d, r, h, w)
        tops, lefts = generator.integers(down + 1, size=count), generator.integers(right + 1, size=count)
        return windows[np.arange(count), :, tops, lefts]  # -> (N, C, h, w)


class RandomHorizontalFlip(ImageTransform):
    """Mirror each image left to right with probability `p`.

    >>> RandomHorizontalFlip(p=1.0)(np.array([[[[1, 2, 3]]]]))
    array([[[[3, 2, 1]]]])
    """

    def __init__(self, p: float = 0.5, *, channels_last: bool = False) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"RandomHorizontalFlip: p {p} is not a probability; give a number from 0 to 1")
        self.p = p
        super().__init__(channels_last)

    def change(self, pixels: Array, generator: np.random.Generator) -> Array:
        mirrored = generator.random(len(pixels)) < self.p
        result = pixels.copy()
        result[mirrored] = pixels[mirrored, :, :, ::-1]
        return result


class ToFloat(ImageTransform):
    """Bytes from 0 to 255 as float32 from 0 to 1, whatever the order of the axes.

    Raises TypeError unless the images are of dtype uint8.

    >>> ToFloat()(np.full((1, 1, 1, 2), 255, dtype=np.uint8))
    array([[[[1., 1.]]]], dtype=float32)
    """

    def change(self, pixels: Array, generator: np.random.Generator) -> Array:
        if pixels.dtype != np.uint8:
            raise TypeError(f"ToFloat: images of dtype {pixels.dtype}; it scales uint8, other images need no ToFloat")
        return pixels / np.float32(255)


class Normalize(ImageTransform):
    """`(images - mean) / std`, each a number per channel.

    Raises TypeError for images of integers, ValueError when the number of channels differs.

    >>> Normalize(mean=[0.5], std=[0.25])(np.ones((1, 1, 1, 1), dtype=np.float32))
    array([[[[2.]]]], dtype=float32)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, channels_last: bool = False) -> None:
        self.mean, self.std = list(mean), list(std)
        if len(self.mean) != len(self.std) or not all(deviation > 0 for deviation in self.std):
            raise ValueError(f"Normalize: mean {self.mean}, std {self.std}; give one of each per channel, std above 0")
        super().__init__(channels_last)

    def change(self, pixels: Array, generator: np.random.Generator) -> Array:
        if pixels.dtype.kind != "f":
            raise TypeError(f"Normalize: images of dtype {pixels.dtype}; put ToFloat() before it")
        if pixels.shape[1] != len(self.mean):
            raise ValueError(f"Normalize: {pixels.shape[1]} channels and {len(self.mean)} means; give one per channel")
        mean, std = (np.asarray(row, dtype=pixels.dtype)[:, None, None] for row in (self.mean, self.std))  # (C, 1, 1)
        return (pixels - mean) / std
