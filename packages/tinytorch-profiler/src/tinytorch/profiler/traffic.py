"""Bytes read and written: every array that goes in is read once, every array that comes into being is written once.

That is the least that must pass between memory and processor when nothing is in the cache: what arithmetic intensity
and the roofline are about. An operation that makes no array, such as a reshape, moves nothing.

Source: Williams, Waterman, Patterson 2009, Roofline: an insightful visual performance model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tinytorch.tensor as tt
from tinytorch.layers import functional as F

from .shaped import Shaped

if TYPE_CHECKING:
    from .events import Event

LOOKUPS = frozenset({tt.getitem, tt.gather, F.embedding})
"""They read, of their first input, as much as they give; their backward reads only the gradient."""


def traffic(event: Event) -> tuple[int, int]:
    """Bytes read and written by one event."""
    if not event.allocated:
        return 0, 0
    arrays = [x for x in event.inputs if isinstance(x, Shaped)]
    read = sum(x.nbytes for x in arrays)
    if event.primitive in LOOKUPS:
        read += (event.output.nbytes if event.needs is None else 0) - arrays[0].nbytes
    if event.needs is not None:
        read += event.output.nbytes  # its gradient
    return read, event.allocated
