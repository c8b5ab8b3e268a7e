"""Arrays of every shape and layout, and the comparison of a tensor with what NumPy makes of them."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinytorch.tensor import Tensor

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def numbers(dtype: Any, low: float = -4.0, high: float = 4.0) -> st.SearchStrategy[Any]:
    if np.dtype(dtype).kind == "f":
        return st.floats(low, high, width=32, allow_subnormal=False)
    return st.integers(int(low), int(high))


@st.composite
def arrays(
    draw: Any, shape: Any = SHAPES, dtype: Any = np.float64, low: float = -4.0, high: float = 4.0
) -> np.ndarray[Any, Any]:
    """An array, contiguous or not: transposed, with negative strides, or every other element of a larger one."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    layout = draw(st.sampled_from(["plain", "reversed", "transposed", "strided"]))
    if layout == "strided" and shape:
        wide = draw(hnp.arrays(dtype, (*shape[:-1], 2 * shape[-1]), elements=numbers(dtype, low, high)))
        return wide[..., ::2]
    drawn = draw(
        hnp.arrays(dtype, shape[::-1] if layout == "transposed" else shape, elements=numbers(dtype, low, high))
    )
    if layout == "transposed":
        return drawn.T
    return drawn[(slice(None, None, -1),) * drawn.ndim] if layout == "reversed" else drawn


@st.composite
def broadcastable(draw: Any, number: int = 2, **kwargs: Any) -> list[np.ndarray[Any, Any]]:
    """Arrays whose shapes broadcast against each other."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=number, max_dims=3, max_side=4, min_side=0)).input_shapes
    return [draw(arrays(shape, **kwargs)) for shape in shapes]


def check(tensor: Tensor, expected: Any) -> None:
    expected = np.asarray(expected)
    assert isinstance(tensor, Tensor)
    assert type(tensor.data) is np.ndarray
    assert tensor.shape == expected.shape
    assert tensor.dtype == expected.dtype
    assert_array_equal(tensor.data, expected)


def t64(array: Any) -> Tensor:
    return Tensor(array, dtype=np.float64) if np.asarray(array).dtype.kind == "f" else Tensor(array)
