"""`Int8Cache`: a quarter of the memory, for a known error."""

from __future__ import annotations

import numpy as np

from tinytorch.tensor import Array

from .preallocated import PreallocatedCache
from .storage import Storage


def quantize(x: Array) -> tuple[Array, Array]:
    """int8 numbers and float32 scales, (..., 1), one for each vector (..., Dh), with x about numbers * scale.

    The largest magnitude of a vector becomes 127, so that no entry is off by more than half a scale: 1/254 of it.
    Raises ValueError for infinities and NaN.

    >>> numbers, scale = quantize(np.array([[1.0, -0.5, 0.003]]))
    >>> numbers.tolist(), scale.shape
    ([[127, -64, 0]], (1, 1))
    """
    scale = np.abs(x).max(axis=-1, keepdims=True).astype(np.float32) / np.float32(127)
    if not np.isfinite(scale).all():
        raise ValueError("quantize: infinity or NaN has no int8 number; look for where the model made it")
    return np.rint(x / np.where(scale == 0, 1, scale)).clip(-127, 127).astype(np.int8), scale


class Int8Cache(PreallocatedCache):
    """A preallocated cache of 8-bit integers, with a float32 scale for each token, head, and key or value.

    Attention through it is approximate: each entry is off by at most 1/254 of the largest of its vector.

    Source: per-token quantization as in Dettmers et al. 2022, LLM.int8() (arXiv:2208.07339), section 3.

    >>> cache = Int8Cache(batch_size=1, max_seq_len=8, num_layers=1, num_heads=2, head_dim=64)
    >>> cache.nbytes / (2 * 2 * 8 * 64 * 4)  # of what float32 takes
    0.265625
    """

    def _allocate(self) -> None:
        rows, n, layers = (self.batch_size, self.num_heads), self.max_seq_len, range(self.num_layers)
        numbers = [Storage(*rows, self.head_dim, n, np.int8) for _ in layers]
        scales = [Storage(*rows, 1, n, np.float32) for _ in layers]
        self._storages = numbers + scales

    def _write(self, layer: int, start: int, keys: Array, values: Array) -> None:
        (key_numbers, key_scales), (value_numbers, value_scales) = quantize(keys), quantize(values)
        self._storages[layer].write(start, key_numbers, value_numbers)
        self._storages[layer + self.num_layers].write(start, key_scales, value_scales)

    def _read(self, layer: int, end: int) -> tuple[Array, Array]:
        numbers, scales = self._storages[layer].read(end), self._storages[layer + self.num_layers].read(end)
        keys, values = (np.multiply(x, scale, dtype=self.dtype) for x, scale in zip(numbers, scales, strict=True))
        return keys, values
