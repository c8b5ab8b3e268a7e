"""How a tensor shows itself: like the array it holds, with what is not obvious said behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .dtypes import bool_, default_dtype, int64

if TYPE_CHECKING:
    from .tensor import Tensor


def show(tensor: Tensor) -> str:
    """The text of `repr(tensor)`.

    >>> from tinytorch.tensor import Tensor
    >>> show(Tensor([[1.5, 2.0]], requires_grad=True))
    'Tensor([[1.5, 2. ]], requires_grad=True)'
    """
    data = tensor.data
    name = type(tensor).__name__
    body = np.array2string(
        data, separator=", ", prefix=name + "(", threshold=200, edgeitems=3, precision=4, suppress_small=False
    )
    notes = ""
    if data.size == 0 or data.size > 200:
        notes += f", shape={data.shape}"
    if data.dtype not in (default_dtype(), int64, bool_):
        notes += f", dtype={data.dtype}"
    if tensor.requires_grad:
        notes += ", requires_grad=True"
    return f"{name}({body}{notes})"
