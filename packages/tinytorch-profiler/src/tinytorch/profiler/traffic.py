"""Bytes read and written: every array that goes in is read once, every array that comes into being is written once.

That is the least that must pass between memory and processor when nothing is in the cache: what arithmetic intensity
and the roofline are about. An operation that makes no array, such as a reshape, moves nothing.

Source: Williams, Waterman, Patterson 2009, Roofline: an insightful visual performance model.
"""

from __future__ import annotations

from typing import Any

import tinytorch.tensor as tt
from tinytorch.layers import functional as F
from tinytorch.tensor import Primitive

from .shaped import Shaped

LOOKUPS = frozenset({tt.getitem, tt.gather, F.embedding})
"""They read, of their first input, as much as they give; their backward reads only the gradient."""


def traffic(
    primitive: Primitive | str, output: Shaped, inputs: tuple[Any, ...], allocated: int, backward: bool
) -> tuple[int, int]:
    """Bytes read and written by one forward, or by its `backward`, which also reads the gradient of the output."""
    if not allocated:
        return 0, 0
    sizes = [x.nbytes for x in inputs if isinstance(x, Shaped)]
    if getattr(primitive, "name", primitive) == "quantized_embedding":
        indices, table = inputs[:2]  # of the table, its scales and zero points it reads the rows that are asked for
        sizes = [sizes[0], *(size * indices.size // table.shape[0] for size in sizes[1:])]
    if primitive in LOOKUPS:
        sizes[0] = 0 if backward else output.nbytes
    return sum(sizes) + (output.nbytes if backward else 0), allocated
