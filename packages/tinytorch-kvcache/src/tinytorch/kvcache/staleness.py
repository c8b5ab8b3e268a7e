"""Keys and values are valid only for the weights that they were computed with: how a change of weights is noticed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from tinytorch.layers import Module
from tinytorch.tensor import Array, Tensor, clock

BLOCK = 512
FACTORS = np.arange(1, 2 * BLOCK, 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # odd: every bit counts


class WeightTracker:
    """The fingerprint of a model's weights, computed again only when they may have changed.

    A full look reads all weights once. It is taken when `suspect` is set (at the start of a generation, after training)
    and when a tensor was written to. Where other code may have run since the last step (`sampling`), one number of each
    weight is compared too: that sees whole arrays written through NumPy, and misses a few numbers among many.
    """

    def __init__(self, model: Module) -> None:
        self.model = model
        self.suspect = True
        self.sampling = True
        self._fingerprint = ""
        self._sample: list[tuple[Tensor, int, int, Any]] = []  # a weight, its size, and the largest of its numbers
        self._moment = -1

    def fingerprint(self) -> str:
        """What `fingerprint` gives for the model's weights as they are now."""
        if self.suspect or clock() != self._moment or (self.sampling and self._sample_has_changed()):
            self._moment = clock()
            weights = [weight for weight in (*self.model.parameters(), *self.model.buffers()) if weight.size]
            self._fingerprint = fingerprint(weights)
            self._sample = [(w, w.size, i := int(w.data.argmax()), w.data.item(i)) for w in weights]
            self.suspect = False
        return self._fingerprint

    def _sample_has_changed(self) -> bool:
        return any(weight.size != size or weight.data.item(i) != value for weight, size, i, value in self._sample)


def fingerprint(weights: list[Tensor]) -> str:
    """A text of 32 characters that differs for weights with other numbers, places, shapes or dtypes.

    It is the same on every machine, because it adds up bits instead of rounded numbers.

    >>> fingerprint([Tensor([1.0, -2.0])]) == fingerprint([Tensor([-2.0, 1.0])])
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for weight in weights:
        digest.update(f"{weight.shape} {weight.dtype}".encode())
        add_bits(digest, weight.data)
    return digest.hexdigest()


def add_bits(digest: Any, array: Array) -> None:
    """Give a digest, in a small part of the bytes, what distinguishes `array` from others of its shape."""
    octets = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    words = octets[: len(octets) // 8 * 8].view(np.uint64)
    rows = words[: len(words) // BLOCK * BLOCK].reshape(-1, BLOCK)
    digest.update(rows @ FACTORS)  # modulo 2**64, exact in any order
    digest.update(words[rows.size :] @ FACTORS[: len(words) - rows.size])
    digest.update(np.packbits(words.view(np.int64) < 0))  # two signs that flip cancel in a sum modulo 2**64
    digest.update(octets[words.nbytes :])
