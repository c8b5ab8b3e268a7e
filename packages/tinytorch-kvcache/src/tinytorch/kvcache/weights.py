"""`Watch`: keys and values are worth something only for the weights that made them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import Module
from tinytorch.tensor import Array, clock

Fingerprint = list[tuple[Any, ...]]


class Watch:
    """Notices when the weights of a model are no longer those that it saw first.

    Looking at all weights takes the time of reading them once. Between two looks, `suspect` says that the model may
    have been trained, and the clock of in-place writes that somebody wrote to a tensor.
    """

    def __init__(self, model: Module) -> None:
        self.model = model
        self.suspect = False
        self._seen: Fingerprint | None = None
        self._moment = clock()

    def same(self, thorough: bool = False) -> bool:
        """Whether the weights are those that were seen first; unless `thorough`, looks only with a reason to."""
        if not thorough and not self.suspect and self._seen is not None and clock() == self._moment:
            return True
        now = fingerprint(self.model)
        if self._seen is None:
            self._seen = now
        if now != self._seen:
            return False
        self.suspect, self._moment = False, clock()
        return True

    def accept(self) -> None:
        """Take the weights as they are now for those that were seen first."""
        self._seen = None
        self.same()


def fingerprint(model: Module) -> Fingerprint:
    """Which tensors the parameters are, and a sum over all their bits: changed numbers change it."""
    return [(id(parameter), parameter.dtype, *_sums(parameter.data)) for parameter in model.parameters()]


def _sums(array: Array) -> tuple[int, bytes]:
    octets = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = len(octets) // 8 * 8
    return int(np.add.reduce(octets[:whole].view(np.uint64))), octets[whole:].tobytes()
