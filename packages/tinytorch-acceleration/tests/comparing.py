"""NumPy's version of a primitive with more digits, and the kernel's, side by side."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from tinytorch.acceleration import Report, accelerating
from tinytorch.autograd import enable_autograd, rules
from tinytorch.tensor import Primitive, Tensor, array_of

enable_autograd()
DTYPES = [np.float32, np.float64]


def units(x: Any, exact: Any, scale: Any = 0) -> float:
    """The largest distance in units in the last place, in the dtype of x, of the larger of `exact` and `scale`."""
    size = np.maximum(np.maximum(np.abs(exact), np.abs(scale)), np.finfo(x.dtype).tiny)
    return float(np.max(np.abs(x.astype(np.longdouble) - exact) / (size * np.finfo(x.dtype).eps), initial=0))


def _more(x: Any) -> Any:
    return x.astype(np.longdouble) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def exactly(primitive: Primitive, inputs: list[Any], g: Any, params: dict[str, Any]) -> list[Any]:
    """The value and the gradients of floating-point inputs, by NumPy in the longest numbers that there are."""
    inputs, g = [_more(x) for x in inputs], _more(g)
    out, saved = primitive.forward(*inputs, **params)
    needs = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs]
    gradients = rules[primitive](g, out, saved, needs, inputs, params)
    return [out, *(each for each, needed in zip(gradients, needs, strict=True) if needed)]


def accelerated(
    primitive: Primitive, inputs: list[Any], g: Any, params: dict[str, Any], served: bool = True
) -> tuple[list[Any], Report]:
    """The same by the kernels, and what the report says; `served` is whether they must be used."""
    tensors = [
        Tensor(x, x.dtype, requires_grad=x.dtype.kind == "f") if isinstance(x, np.ndarray) else x for x in inputs
    ]
    with accelerating() as during:
        out = primitive(*tensors, **params)
        out.backward(Tensor(g, g.dtype))
    if served:
        for name in (primitive.name, f"{primitive.name} backward"):
            assert during.get(name, (1, {})) == (1, {}), during
    gradients = [x.grad for x in tensors if isinstance(x, Tensor) and x.requires_grad]
    return [out.data, *(array_of(each) for each in gradients)], during


def numbers(data: st.DataObject, shape: Any, dtype: Any, most: float = 8) -> Any:
    """An array of this shape and dtype: numbers of any size up to `most`, some of them 0 and some equal."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    return np.asarray(rng.uniform(-most, most, shape).round(rng.integers(0, 8))).astype(dtype)
