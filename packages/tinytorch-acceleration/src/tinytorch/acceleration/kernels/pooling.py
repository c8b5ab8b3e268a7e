"""The gradient of max pooling: each goes to the first of the largest pixels under its window, found in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.spatial.max_pooling import max_pool2d
from tinytorch.spatial.memory import batch_first, batch_last
from tinytorch.spatial.strides import pooling
from tinytorch.tensor import Array

from ..compiling import compiled
from ..serving import Unserved, serves_gradient


@compiled
def pool_slopes(
    start: int, stop: int, g: Array, best: Array, padded: Array, kernel: Any, step: Any, spread: Any, corner: Any,
    size: Any, dpadded: Array,
) -> None:  # fmt: skip
    """Channels from `start` to `stop` of (C, H', W', N), (C, H, W, N); the image lies at `corner` with its `size`."""
    for channel in range(start, stop):
        for r in range(g.shape[1]):
            for c in range(g.shape[2]):
                for n in range(g.shape[3]):
                    found = False
                    for i in range(kernel[0]):
                        row = r * step[0] + i * spread[0]
                        if found or not corner[0] <= row < corner[0] + size[0]:
                            continue
                        for j in range(kernel[1]):
                            column = c * step[1] + j * spread[1]
                            inside = corner[1] <= column < corner[1] + size[1]
                            if inside and not found and padded[channel, row, column, n] == best[channel, r, c, n]:
                                dpadded[channel, row, column, n] += g[channel, r, c, n]
                                found = True


@serves_gradient(max_pool2d)
def max_pool_backward(g: Array, out: Array, padded: Array, needs: Any, x: Array, **params: Any) -> Any:
    if g.dtype != padded.dtype or g.dtype not in (np.float32, np.float64) or not g.size:
        return Unserved(f"a gradient of shape {g.shape} and dtype {g.dtype} for {padded.dtype}")
    stencil = pooling("max_pool2d", x.shape[2:], **params)
    (above, _), (left, _) = stencil.padding
    dpadded = np.zeros(padded.shape, g.dtype)
    pool_slopes.over(
        len(padded), 1, batch_last(g), batch_last(out), padded, stencil.kernel, stencil.stride, stencil.dilation,
        (above, left), x.shape[2:], dpadded,
    )  # fmt: skip
    return (batch_first(stencil.inside(dpadded)),)
