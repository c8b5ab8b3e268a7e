"""Which operation stands for which of NumPy's functions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from . import ops
from .numpy_protocol import FUNCTIONS, REDUCTIONS, UFUNCS
from .ops.shaping import normal_axis
from .tensor import Tensor

UFUNCS |= {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.true_divide: ops.divide,
    np.floor_divide: ops.floor_divide,
    np.remainder: ops.remainder,
    np.power: ops.power,
    np.maximum: ops.maximum,
    np.minimum: ops.minimum,
    np.negative: ops.negative,
    np.positive: ops.alias,
    np.absolute: ops.abs,
    np.sign: ops.sign,
    np.floor: ops.floor,
    np.ceil: ops.ceil,
    np.rint: ops.round,
    np.exp: ops.exp,
    np.log: ops.log,
    np.sqrt: ops.sqrt,
    np.square: lambda x: ops.multiply(x, x),
    np.reciprocal: lambda x: ops.divide(1.0, x),
    np.tanh: ops.tanh,
    np.sin: ops.sin,
    np.cos: ops.cos,
    np.matmul: ops.matmul,
    np.equal: ops.equal,
    np.not_equal: ops.not_equal,
    np.less: ops.less,
    np.less_equal: ops.less_equal,
    np.greater: ops.greater,
    np.greater_equal: ops.greater_equal,
    np.bitwise_and: ops.bitwise_and,
    np.bitwise_or: ops.bitwise_or,
    np.bitwise_xor: ops.bitwise_xor,
    np.invert: ops.invert,
    np.isnan: ops.isnan,
    np.isfinite: ops.isfinite,
    np.isinf: lambda x: ops.equal(ops.abs(x), np.inf),
    np.logical_and: lambda x, y: ops.bitwise_and(ops.not_equal(x, 0), ops.not_equal(y, 0)),
    np.logical_or: lambda x, y: ops.bitwise_or(ops.not_equal(x, 0), ops.not_equal(y, 0)),
    np.logical_xor: lambda x, y: ops.not_equal(ops.not_equal(x, 0), ops.not_equal(y, 0)),
    np.logical_not: lambda x: ops.equal(x, 0),
}

REDUCTIONS |= {
    np.add: ops.sum,
    np.multiply: ops.prod,
    np.maximum: ops.max,
    np.minimum: ops.min,
    np.logical_and: ops.all,
    np.logical_or: ops.any,
}


def _var(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    return ops.var(x, axis=axis, correction=ddof, keepdims=keepdims)


def _std(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    return ops.std(x, axis=axis, correction=ddof, keepdims=keepdims)


def _dot(x: Any, y: Any) -> Tensor:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return ops.multiply(x, y)
    if np.ndim(y) > 2:
        raise ValueError(f"np.dot: {np.shape(x)} and {np.shape(y)}; for stacks of matrices write x @ y, or einsum")
    return ops.matmul(x, y)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    return ops.clip(x, low=a_min if min is None else min, high=a_max if max is None else max)


def _take_along(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """NumPy's rule for axes other than `axis`: they are broadcast, where `gather` takes the first of them."""
    place = normal_axis("np.take_along_axis", x, axis)
    ours, theirs = list(np.shape(x)), list(np.shape(indices))
    if len(ours) == len(theirs):
        n, ours[place], theirs[place] = ours[place], 1, 1
        common = np.broadcast_shapes(ours, theirs)
        x = ops.broadcast_to(x, shape=(*common[:place], n, *common[place + 1 :]))
        indices = ops.broadcast_to(indices, shape=(*common[:place], np.shape(indices)[place], *common[place + 1 :]))
    return ops.gather(x, indices, axis=place)


def _permute(x: Any, axes: Any = None) -> Tensor:
    return ops.permute(x, axes=tuple(axes) if axes is not None else tuple(range(np.ndim(x)))[::-1])


def _zeros_like(x: Any, dtype: Any = None) -> Tensor:
    return Tensor(np.zeros(np.shape(x), dtype or x.dtype), dtype or x.dtype)


def _ones_like(x: Any, dtype: Any = None) -> Tensor:
    return Tensor(np.ones(np.shape(x), dtype or x.dtype), dtype or x.dtype)


def _full_like(x: Any, value: Any, dtype: Any = None) -> Tensor:
    return Tensor(np.full(np.shape(x), value, dtype or x.dtype), dtype or x.dtype)


def _pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Tensor:
    if mode != "constant":
        raise TypeError(f"np.pad: mode {mode!r} of a tensor; only 'constant' is differentiable here, or pad t.data")
    return ops.pad(x, width=pad_width, value=constant_values)


def _expand_dims(x: Any, axis: int) -> Tensor:
    return ops.unsqueeze(x, axis)


FUNCTIONS |= {
    np.shape: lambda x: x.data.shape,
    np.ndim: lambda x: x.data.ndim,
    np.size: lambda x: x.data.size,
    np.sum: ops.sum,
    np.prod: ops.prod,
    np.mean: ops.mean,
    np.var: _var,
    np.std: _std,
    np.max: ops.max,
    np.min: ops.min,
    np.any: ops.any,
    np.all: ops.all,
    np.argmax: ops.argmax,
    np.argmin: ops.argmin,
    np.argsort: lambda x, axis=-1: ops.argsort(x, axis=axis),
    np.sort: lambda x, axis=-1: ops.sort(x, axis=axis)[0],
    np.cumsum: ops.cumsum,
    np.clip: _clip,
    np.where: ops.where,
    np.reshape: lambda x, shape: ops.reshape(x, shape=shape),
    np.ravel: lambda x: ops.reshape(x, shape=(-1,)),
    np.transpose: _permute,
    np.permute_dims: _permute,
    np.matrix_transpose: lambda x: ops.transpose(x, -2, -1),
    np.swapaxes: ops.transpose,
    np.moveaxis: lambda x, source, destination: _moveaxis(x, source, destination),
    np.squeeze: ops.squeeze,
    np.expand_dims: _expand_dims,
    np.broadcast_to: lambda x, shape: ops.broadcast_to(x, shape=shape),
    np.flip: lambda x, axis=None: ops.flip(x, axis=axis),
    np.pad: _pad,
    np.tril: lambda x, k=0: ops.tril(x, diagonal=k),
    np.triu: lambda x, k=0: ops.triu(x, diagonal=k),
    np.concatenate: ops.concat,
    np.stack: ops.stack,
    np.split: lambda x, sections, axis=0: ops.split(x, _pieces(x, sections, axis), axis),
    np.take_along_axis: _take_along,
    np.einsum: ops.einsum,
    np.dot: _dot,
    np.copy: ops.copy,
    np.round: ops.round,
    np.zeros_like: _zeros_like,
    np.ones_like: _ones_like,
    np.full_like: _full_like,
    np.result_type: lambda *xs: np.result_type(*(_bare(x) for x in xs)),
    np.array_equal: lambda x, y, equal_nan=False: np.array_equal(_bare(x), _bare(y), equal_nan),
    np.allclose: lambda x, y, rtol=1e-5, atol=1e-8, equal_nan=False: np.allclose(
        _bare(x), _bare(y), rtol, atol, equal_nan
    ),
    np.iscomplexobj: lambda x: False,
    np.shares_memory: lambda x, y: np.shares_memory(_bare(x), _bare(y)),
    np.may_share_memory: lambda x, y: np.may_share_memory(_bare(x), _bare(y)),
}


def _bare(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _moveaxis(x: Any, source: int, destination: int) -> Tensor:
    axes = list(range(np.ndim(x)))
    axes.insert(destination % len(axes), axes.pop(source % len(axes)))
    return ops.permute(x, axes=tuple(axes))


def _pieces(x: Any, sections: Any, axis: int) -> list[int]:
    """NumPy's two ways to say where to cut (so many equal pieces, or at these places) as sizes of the pieces."""
    total = np.shape(x)[axis]
    if isinstance(sections, int):
        if sections < 1 or total % sections:
            raise ValueError(f"np.split: {total} elements along axis {axis} do not make {sections} equal pieces")
        return [total // sections] * sections
    cuts = [0, *sections, total]
    return [end - start for start, end in pairwise(cuts)]
