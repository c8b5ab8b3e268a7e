"""Indexing: the gradient goes back to the elements that were read, and those read twice get the sum."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinytorch.tensor as tt
from tinytorch.tensor.ops.indexing import is_basic, unwrap_index

from ..fitting import Part
from ..registry import Gradient, defconst, defrefused, defvjp
from .elementwise import INPUTS


def _getitem(g: Gradient, out: Gradient, x: Any, index: Any) -> Gradient:
    if isinstance(g, np.ndarray) and is_basic(unwrap_index(index)):
        return Part(g, x.shape, index)
    return tt.index_grad.lift(g, shape=x.shape, index=index)


defvjp(tt.getitem, _getitem, keep=("params",), new=True)
defvjp(tt.index_grad, lambda g, out, x, shape, index: tt.getitem.lift(g, index=index), keep=("params",))
defvjp(
    tt.gather,
    lambda g, out, x, index, axis: tt.scatter_add.lift(np.zeros_like(x), index, g, axis=axis),
    None,
    keep=INPUTS,
)
defvjp(
    tt.scatter_add,
    lambda g, out, x, index, source, axis: g,
    None,
    lambda g, out, x, index, source, axis: tt.gather.lift(g, index, axis=axis),
    keep=INPUTS,
)
defconst(tt.argwhere, reason="the result is a position")
defrefused(
    tt.setitem,
    reason="it overwrites what other rules may need; where() and scatter_add() do the same without writing in place",
)
