"""What queries, keys, values and masks must look like to be put together."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_shapes(name: str, q: Any, k: Any, v: Any, mask: Any = None) -> None:
    """Raise ValueError or TypeError, in the words of `name`, when these cannot be attended with."""
    for letter, x in zip("qkv", (q, k, v), strict=True):
        if not hasattr(x, "dtype") or x.dtype.kind != "f":
            raise TypeError(
                f"{name}: {letter} is {getattr(x, 'dtype', type(x).__name__)}; q, k and v are floating-point tensors"
            )
    qs, ks, vs = q.shape, k.shape, v.shape
    fits = (
        len(qs) == len(ks) == len(vs) >= 2
        and qs[-1] == ks[-1]
        and ks[:-1] == vs[:-1]
        and qs[:-3] == ks[:-3]
        and (len(qs) < 3 or (ks[-3] > 0 and qs[-3] % ks[-3] == 0))
    )
    if not fits:
        raise ValueError(
            f"{name}: q {qs}, k {ks}, v {vs}; the form is q (B, H, T, D), k (B, Hkv, S, D), v (B, Hkv, S, Dv), "
            "H a multiple of Hkv"
        )
    if mask is None:
        return
    shape, scores = np.shape(mask), (*qs[:-1], ks[-2])
    try:
        fits = np.broadcast_shapes(shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name}: a mask of shape {shape} for scores of shape {scores}; it must broadcast to (B, H, T, S), "
            "for (B, T) that is 1 where a token counts use padding_mask"
        )
