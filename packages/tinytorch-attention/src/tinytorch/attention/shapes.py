"""How queries, keys, values and masks must fit together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.tensor import DTypeError, ShapeError


def check_shapes(name: str, q: Any, k: Any, v: Any, mask: Any, axes: int | None = None) -> None:
    """Raise ShapeError or DTypeError, which begin with `name`, unless attention can be computed from these."""
    for x in (q, k, v):
        if not hasattr(x, "dtype") or x.dtype.kind != "f":
            letter, dtype = "qkv"[[q is x, k is x, True].index(True)], getattr(x, "dtype", type(x).__name__)
            raise DTypeError(f"{name}: {letter} is {dtype}; q, k and v are floating-point tensors")
    qs, ks, vs = q.shape, k.shape, v.shape
    fits = (
        len(qs) == len(ks) == len(vs) >= 2
        and qs[-1] == ks[-1]
        and ks[:-1] == vs[:-1]
        and qs[:-3] == ks[:-3]
        and (len(qs) < 3 or (ks[-3] > 0 and qs[-3] % ks[-3] == 0))
    )
    if not fits:
        raise ShapeError(
            f"{name}: q {qs}, k {ks}, v {vs}; the form is q (B, H, T, D), k (B, Hkv, S, D), v (B, Hkv, S, Dv), "
            "H a multiple of Hkv"
        )
    if axes not in (None, len(qs)):
        raise ShapeError(f"{name}: q has the shape {qs}; it is (B, H, T, D), add the axes that are missing")
    if mask is None:
        return
    shape, scores = np.shape(mask), (*qs[:-1], ks[-2])
    try:
        fits = np.broadcast_shapes(shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: a mask of shape {shape} for scores of shape {scores}; it must broadcast to (B, H, T, S), "
            "for (B, T) that is 1 where a token counts use padding_mask"
        )


def scale_for(q: Any, scale: float | None) -> float:
    """`scale`, or the 1 / sqrt(D) of equation 1 unless one is given. Without any numbers (D = 0) all scores are 0."""
    return 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale
