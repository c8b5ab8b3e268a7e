"""Reading some elements: the gradient goes back to where they were read, and places read twice get the sum."""

from __future__ import annotations

import numpy as np

import tinytorch.tensor as tt

from ..registry import defconst, defrefused, defvjp

defvjp(tt.getitem, lambda g, out, x, index: tt.unindex.lift(g, shape=x.shape, index=index), keep=("params",), new=True)
defvjp(tt.unindex, lambda g, out, x, shape, index: tt.getitem.lift(g, index=index), keep=("params",))
defvjp(
    tt.gather,
    lambda g, out, x, index, axis: tt.scatter_add.lift(np.zeros_like(x), index, g, axis=axis),
    None,
    keep=("inputs",),
)
defvjp(
    tt.scatter_add,
    lambda g, out, x, index, source, axis: g,
    None,
    lambda g, out, x, index, source, axis: tt.gather.lift(g, index, axis=axis),
    keep=("inputs",),
)
defconst(tt.argwhere, reason="the result is a position")
defrefused(
    tt.setitem,
    reason="it overwrites what other rules may need; where() and scatter_add() do the same without writing in place",
)
