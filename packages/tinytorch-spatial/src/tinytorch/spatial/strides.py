"""Where a kernel stands on an image: its size, the distance of its taps, its steps, and the padding around."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinytorch.tensor import Array

from .memory import batch_last

Pair = tuple[int, int]
Size = int | Sequence[int]
"""One number for rows and columns, or (rows, columns)."""


def pair(name: str, what: str, value: Size, least: int = 1) -> Pair:
    """`value` for rows and for columns. Raises TypeError for other than an int or a pair, ValueError below `least`."""
    both: Any = (value, value) if isinstance(value, int | np.integer) else value
    if (
        not isinstance(both, list | tuple)
        or len(both) != 2
        or any(isinstance(n, bool) or not isinstance(n, int | np.integer) for n in both)
    ):
        raise TypeError(f"{name}: {what} is {value!r}; it must be an int, or a pair of them (rows, columns)")
    if min(both) < least:
        raise ValueError(f"{name}: {what} is {value!r}; it must be at least {least}")
    return int(both[0]), int(both[1])


def images(name: str, x: Any) -> None:
    """Refuse anything but a batch of images."""
    if np.ndim(x) != 4:
        raise ValueError(
            f"{name}: x of shape {np.shape(x)}; it must be (N, C, H, W): a single image (C, H, W) is passed as x[None]"
        )


class Stencil(NamedTuple):
    """A kernel of `kernel` taps, `dilation` pixels apart, that moves by `stride` over an image with `padding` around.

    Each is (rows, columns), but padding is ((above, below), (left, right)).
    """

    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: tuple[Pair, Pair]

    @property
    def extent(self) -> Pair:
        """How many rows and columns the kernel spans."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    @property
    def taps(self) -> product[Pair]:
        """The places in the kernel, row by row."""
        return product(range(self.kernel[0]), range(self.kernel[1]))

    @property
    def apart(self) -> bool:
        """Whether no pixel is under the kernel twice."""
        return all(step >= span for step, span in zip(self.stride, self.extent, strict=True))

    def check(self, name: str, size: Sequence[int]) -> None:
        """Refuse an image of `size` (rows, columns) too small for the kernel."""
        padded = [n + sum(around) for n, around in zip(size, self.padding, strict=True)]
        if any(n < span for n, span in zip(padded, self.extent, strict=True)):
            raise ValueError(
                f"{name}: the kernel spans {self.extent[0]} x {self.extent[1]} pixels, the image with its padding has "
                f"{padded[0]} x {padded[1]}; use a smaller kernel, a larger image, or more padding"
            )

    def surround(self, x: Array, value: Any = 0, dtype: Any = None) -> Array:
        """The image with its padding, batch last: (N, C, H, W) -> (C, H + above + below, W + left + right, N)."""
        (above, below), (left, right) = self.padding
        if not (above or below or left or right):
            return batch_last(x, dtype)
        N, C, H, W = x.shape
        shape, dtype = (C, H + above + below, W + left + right, N), dtype or x.dtype
        padded = np.full(shape, value, dtype) if value else np.zeros(shape, dtype)
        self.inside(padded)[...] = x.transpose(1, 2, 3, 0)
        return padded

    def inside(self, padded: Array) -> Array:
        """The image without its padding, a view."""
        (above, below), (left, right) = self.padding
        return padded[:, above : padded.shape[1] - below, left : padded.shape[2] - right]

    def windows(self, padded: Array) -> Array:
        """What lies under each tap at each place: (C, H, W, N) -> (C, kh, kw, H', W', N), a view.

        Windows may overlap in memory: write to one tap at a time.
        """
        C, H, W, N = padded.shape
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        channel, row, column, sample = padded.strides
        places = (H - self.extent[0]) // sh + 1, (W - self.extent[1]) // sw + 1
        strides = (channel, dh * row, dw * column, sh * row, sw * column, sample)
        return as_strided(padded, (C, kh, kw, *places, N), strides)

    def moved(self, x: Any, value: float = 0.0) -> Iterator[Any]:
        """The padded image as each tap sees it, tap by tap, each (N, C, H', W'); made of simple operations."""
        (sh, sw), (dh, dw) = self.stride, self.dilation
        padded = np.pad(x, ((0, 0), (0, 0), *self.padding), constant_values=value)
        rows, columns = (n - span for n, span in zip(padded.shape[2:], self.extent, strict=True))
        for i, j in self.taps:
            yield padded[:, :, i * dh : i * dh + rows + 1 : sh, j * dw : j * dw + columns + 1 : sw]


def pool_window(
    name: str, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1
) -> Stencil:
    """The window of a pooling, on an image of any size. Raises ValueError for padding of more than half of it."""
    kernel = pair(name, "kernel_size", kernel_size)
    steps = kernel if stride is None else pair(name, "stride", stride)
    both = pair(name, "padding", padding, least=0)
    stencil = Stencil(kernel, steps, pair(name, "dilation", dilation), ((both[0], both[0]), (both[1], both[1])))
    if any(2 * p > span for p, span in zip(both, stencil.extent, strict=True)):
        raise ValueError(
            f"{name}: padding is {padding} for a kernel that spans {stencil.extent}; it must be at most half of that, "
            "or a window would see no image"
        )
    return stencil


def pooling(name: str, size: tuple[int, ...], *window: Any, ceil_mode: bool = False, **options: Any) -> Stencil:
    """The window of a pooling on an image of `size`; with `ceil_mode` a last window that starts on the image, or above
    and left of it, counts although it reaches out.
    """
    stencil = pool_window(name, *window, **options)
    if ceil_mode:
        around = []
        for n, span, step, (p, _) in zip(size, stencil.extent, stencil.stride, stencil.padding, strict=True):
            last = -(-(n + 2 * p - span) // step) * step  # where the last window starts, counted from the padding
            if last >= n + p:
                last -= step
            around.append((p, max(p, last + span - n - p)))
        stencil = stencil._replace(padding=(around[0], around[1]))
    stencil.check(name, size)
    return stencil
