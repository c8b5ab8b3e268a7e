"""Operators of stages that are not installed here, most on images: by the names and forms that formulas expect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.profiler import Shaped
from tinytorch.profiler.flops import arithmetic
from tinytorch.tensor import Primitive, primitive


@primitive
def conv2d(x: Any, weight: Any, bias: Any = None, /, stride: int = 1) -> Any: ...
@primitive
def max_pool2d(x: Any, /, kernel_size: Any, stride: Any = None) -> Any: ...
@primitive
def avg_pool2d(x: Any, /, kernel_size: Any, stride: Any = None) -> Any: ...
@primitive
def adaptive_avg_pool2d(x: Any, /, output_size: Any) -> Any: ...
@primitive
def batch_norm(x: Any, weight: Any = None, bias: Any = None, /, training: bool = False) -> Any: ...


@primitive
def rotate(x: Any, cos: Any, sin: Any, /) -> Any: ...
@primitive
def softplus(x: Any, /) -> Any: ...
@primitive
def floored_log(x: Any, /) -> Any: ...


def shape(*sizes: int) -> Shaped:
    return Shaped(sizes, np.dtype(np.float32))


X, SMALL = shape(2, 3, 8, 6), shape(2, 3, 4, 3)
CHANNELS = shape(3)

CASES: dict[str, tuple[Primitive, Shaped, tuple[Any, ...], dict[str, Any], int, int]] = {
    "bias of a convolution": (conv2d, X, (X, shape(3, 3, 1, 1), CHANNELS), {}, X.size, X.size),
    "no bias": (conv2d, X, (X, shape(3, 3, 1, 1), None), {}, 0, 0),
    "largest of four": (max_pool2d, SMALL, (X,), {"kernel_size": 2}, 3 * SMALL.size, 4 * SMALL.size),
    "largest of nine": (max_pool2d, SMALL, (X,), {"kernel_size": 3, "stride": 2}, 8 * SMALL.size, 9 * SMALL.size),
    "rotation": (rotate, X, (X, shape(8, 6), shape(8, 6)), {}, 3 * X.size, 3 * X.size),  # of pairs: 2 products, 1 sum
    "softplus": (softplus, X, (X,), {}, 6 * X.size, 5 * X.size),
    "floored log": (floored_log, X, (X,), {}, 2 * X.size, 2 * X.size),
    "mean of six": (avg_pool2d, SMALL, (X,), {"kernel_size": (2, 3)}, 7 * SMALL.size, 7 * SMALL.size),
    # sums of 8 rows, 6 divisions, 6 additions, 1 division for each of the 2 * 3 channels; and the same way back
    "mean of the whole": (adaptive_avg_pool2d, shape(2, 3, 1, 1), (X,), {"output_size": 1}, 6 * 61, 6 * 61),
    "norm by the batch": (batch_norm, X, (X, CHANNELS, CHANNELS), {"training": True}, 6 * X.size, 9 * X.size),
    "norm by what is known": (batch_norm, X, (X, CHANNELS, CHANNELS), {}, 3 * X.size, 6 * X.size),
}


@pytest.mark.parametrize("name", CASES)
def test_elementwise_work_is_that_of_the_closed_form(name: str) -> None:
    operator, out, inputs, params, forward, backward = CASES[name]
    needs = tuple(isinstance(each, Shaped) for each in inputs)
    found = [arithmetic(operator, out, inputs, params, which) for which in (None, needs)]
    assert [each and each.elementwise for each in found] == [forward, backward]
